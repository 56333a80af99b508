"""Makes a bucket's listings span several responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quire.object_store.s3_store import S3Store

PAGE_SIZE = 2
LISTINGS = {"ListObjectsV2": "MaxKeys", "ListMultipartUploads": "MaxUploads"}


def shorten_pages(store: S3Store) -> S3Store:
    """Makes a store request at most ``PAGE_SIZE`` keys at a time."""
    for operation, parameter in LISTINGS.items():
        store.client.meta.events.register(f"before-parameter-build.s3.{operation}", _limiter(parameter))
    return store


def _limiter(parameter: str) -> Callable[..., None]:
    def limit(params: dict[str, Any], **_: object) -> None:
        params[parameter] = PAGE_SIZE

    return limit
