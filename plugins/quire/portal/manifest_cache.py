"""A short-lived cache of manifests, which never change but may be deleted."""

from __future__ import annotations

import sys
import threading
from dataclasses import fields, is_dataclass
from typing import Any

from cachetools import TTLCache, cached

from quire.object_store import Store
from quire.run_records.manifest import Manifest
from quire.runs.manifest_store import read_manifest

MAX_CACHE_BYTES = 64 * 1024 * 1024  # per process; a manifest of 20,000 partitions takes about 25 MB
MAX_CACHE_SECONDS = 60.0  # a deleted run may remain visible for this long


def estimate_memory(value: Any) -> int:
    """Estimates the memory of a value and its contents; objects that are referenced twice count twice."""
    size = sys.getsizeof(value)
    if is_dataclass(value) and not isinstance(value, type):
        return size + sum(estimate_memory(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return size + sum(estimate_memory(key) + estimate_memory(item) for key, item in value.items())
    if isinstance(value, tuple | list):
        return size + sum(map(estimate_memory, value))
    return size


_CACHE: TTLCache[tuple[str, str, str], Manifest] = TTLCache(
    MAX_CACHE_BYTES, MAX_CACHE_SECONDS, getsizeof=estimate_memory
)


def _key(store: Store, report: str, run_key: str) -> tuple[str, str, str]:
    return store.location, report, run_key


@cached(_CACHE, key=_key, lock=threading.Lock())
def cached_manifest(store: Store, report: str, run_key: str) -> Manifest:
    """Returns a published run's manifest.

    Raises:
        IntegrityError: the manifest does not exist or is damaged.
    """
    return read_manifest(store, report, run_key)
