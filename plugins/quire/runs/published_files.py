"""Checks that a published run's files are still in the store."""

from __future__ import annotations

from collections.abc import Sequence

from quire.object_store import Store
from quire.object_store.commit_records import map_concurrently
from quire.record_types.stage_records import RenderedFile


def is_any_missing(files: Sequence[RenderedFile], store: Store) -> bool:
    """Returns whether any file is missing or has a different size than when it was published.

    Raises:
        StoreRefusedError, StoreUnavailableError: the store cannot be queried.
    """
    sizes = map_concurrently(store.size, [file.key for file in files])
    return any(size != file.bytes for size, file in zip(sizes, files, strict=True))
