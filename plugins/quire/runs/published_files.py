"""Checks that a run's objects are still in the store."""

from __future__ import annotations

from collections.abc import Sequence

from quire.object_store import Store
from quire.object_store.commit_records import map_concurrently
from quire.record_types.stage_records import RenderedFile


def missing_objects(sizes: Sequence[tuple[str, int]], *, store: Store) -> list[str]:
    """Returns the keys of objects that are missing or do not have the expected size.

    Args:
        sizes: each object's key and size in bytes.
        store: the store that should hold the objects.

    Raises:
        StoreRefusedError, StoreUnavailableError: the store cannot be queried.
    """
    exist = map_concurrently(lambda expected: store.has_size(*expected), sizes)
    return [key for (key, _), exists in zip(sizes, exist, strict=True) if not exists]


def is_any_missing(files: Sequence[RenderedFile], store: Store) -> bool:
    """Returns whether any file is missing or has a different size than when it was published.

    Raises:
        StoreRefusedError, StoreUnavailableError: the store cannot be queried.
    """
    return bool(missing_objects([(file.key, file.bytes) for file in files], store=store))
