"""A cache of manifests. Entries are short-lived, because manifests never change but may be deleted."""

from __future__ import annotations

import sys
import threading
from dataclasses import fields, is_dataclass
from typing import Any

from cachetools import TTLCache, cachedmethod

from quire.object_store import Store
from quire.object_store.commit_records import MANIFEST_LIMITS, RecordLimits
from quire.record_types.manifest import Manifest
from quire.runs.manifest_store import read_manifest

MAX_CACHE_BYTES = 64 * 1024 * 1024  # per process; a manifest with 20,000 partitions takes about 25 MB
MAX_CACHE_SECONDS = 60.0  # a deleted run may remain visible for this long


def estimate_memory(value: Any) -> int:
    """Estimates the memory used by a value and its contents. Objects that are referenced twice count twice."""
    size = sys.getsizeof(value)
    if is_dataclass(value) and not isinstance(value, type):
        return size + sum(estimate_memory(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return size + sum(estimate_memory(key) + estimate_memory(item) for key, item in value.items())
    if isinstance(value, tuple | list):
        return size + sum(map(estimate_memory, value))
    return size


class ManifestCache:
    """Reads manifests through a cache with a memory limit. Every method is thread-safe.

    Args:
        limits: the limits for each manifest.
        max_bytes: the memory limit for all cached manifests.
    """

    def __init__(self, *, limits: RecordLimits = MANIFEST_LIMITS, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._limits, self._lock = limits, threading.Lock()
        self._manifests: TTLCache[tuple[str, str, str], Manifest] = TTLCache(
            max_bytes, MAX_CACHE_SECONDS, getsizeof=estimate_memory
        )

    def read(self, store: Store, report: str, run_key: str) -> Manifest:
        """Returns a published run's manifest.

        Raises:
            IntegrityError: the manifest does not exist or is damaged.
        """
        return self._read(store, report, run_key)

    def reread(self, store: Store, report: str, run_key: str) -> Manifest:
        """Returns a manifest from the store, because a run that was deleted may have been published again.

        Raises:
            IntegrityError: the manifest does not exist or is damaged.
        """
        with self._lock:
            self._manifests.pop((store.location, report, run_key), None)
        return self._read(store, report, run_key)

    @cachedmethod(
        lambda self: self._manifests,
        key=lambda _, store, report, run_key: (store.location, report, run_key),
        lock=lambda self: self._lock,
    )
    def _read(self, store: Store, report: str, run_key: str) -> Manifest:
        return read_manifest(store, report, run_key, limits=self._limits)
