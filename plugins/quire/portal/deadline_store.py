"""The object store for a reader who waits: it gives up early, and sends no request after the deadline."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from quire.object_store import S3Store
from quire.portal.work_queue import Deadline
from quire.settings import StoreSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

logger = logging.getLogger(__name__)


@lru_cache(maxsize=4)
def hurried_client(settings: StoreSettings) -> S3Client:
    """Returns a client that gives up early, so that a store that hangs keeps no place in a queue for long."""
    store = S3Store(settings)
    store.connect_seconds, store.read_seconds, store.max_retries = 2, 5, 0
    return store.client


class HurriedStore(S3Store):
    """A store that only reads, and sends no request once nobody waits for the answer.

    Args:
        store: the store itself.
        deadline: of the work that reads.
    """

    def __init__(self, store: S3Store, deadline: Deadline) -> None:
        super().__init__(store.settings)
        self.client, self._deadline = hurried_client(store.settings), deadline

    def _get(self, key: str) -> GetObjectOutputTypeDef:  # each attempt of a read
        self._deadline.ensure_time_left()
        return super()._get(key)

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes, or None where there is no such object."""
        self._deadline.ensure_time_left()
        return super().size(key)

    def delete_unchanged(self, key: str, body: bytes) -> bool:
        """Leaves a damaged record to the next run: an estimate counts it as a cache miss and changes nothing."""
        logger.info("%s is damaged, and stays until the next run", key)
        return False
