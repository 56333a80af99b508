"""An object store with short timeouts and a deadline, for interactive requests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from quire.object_store import Store
from quire.object_store.s3_store import S3Store
from quire.object_store.store import StoredObject
from quire.portal.job_deadline import Deadline
from quire.settings import StoreSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

logger = logging.getLogger(__name__)


@lru_cache(maxsize=4)
def short_timeout_client(settings: StoreSettings) -> S3Client:
    """Returns a client with short timeouts, so that an unresponsive store does not block a queue for long."""
    store = S3Store(settings)
    store.connect_seconds, store.read_seconds, store.max_retries = 2, 5, 0
    return store.client


def limit_store(store: Store, deadline: Deadline) -> Store:
    """Returns a store that sends no requests after the deadline. Local stores are returned unchanged."""
    return DeadlineStore(store, deadline) if isinstance(store, S3Store) else store


class DeadlineStore(S3Store):
    """A read-only store that sends no requests after the deadline.

    Args:
        store: the store to read.
        deadline: no requests are sent after this deadline.
    """

    def __init__(self, store: S3Store, deadline: Deadline) -> None:
        super().__init__(store.settings)
        self.client, self._deadline = short_timeout_client(store.settings), deadline

    def _get(self, key: str) -> GetObjectOutputTypeDef:  # called once for each attempt to read an object
        self._deadline.ensure_time_left()
        return super()._get(key)

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes, or None if the object does not exist."""
        self._deadline.ensure_time_left()
        return super().size(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields every object whose key starts with ``prefix``, in key order."""
        self._deadline.ensure_time_left()
        for entry in super().list(prefix):
            yield entry
            self._deadline.ensure_time_left()  # before the next page is requested

    def delete_unchanged(self, key: str, body: bytes) -> bool:
        """Leaves a damaged record in the store: the next run deletes it, and estimates count it as a cache miss."""
        logger.info("%s is damaged; the next run deletes it", key)
        return False
