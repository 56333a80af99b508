"""Manifests of published runs, kept for a while: they never change, but may be deleted."""

from __future__ import annotations

import sys
import threading
from dataclasses import fields, is_dataclass
from typing import Any

from cachetools import TTLCache, cached

from quire.object_store import Store
from quire.records.manifest import Manifest
from quire.runs.manifest_store import read_manifest

MAX_CACHE_BYTES = 64 * 1024 * 1024  # of one process; a manifest of 20,000 partitions has some 25 MB
MAX_CACHE_SECONDS = 60.0  # that a deleted run may still be shown


def bytes_of(value: Any) -> int:
    """Returns how much memory a record takes, with all it holds; what several parts share is counted several times."""
    size = sys.getsizeof(value)
    if is_dataclass(value) and not isinstance(value, type):
        return size + sum(bytes_of(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, dict):
        return size + sum(bytes_of(key) + bytes_of(item) for key, item in value.items())
    if isinstance(value, tuple | list):
        return size + sum(map(bytes_of, value))
    return size


_CACHE: TTLCache[tuple[str, str, str], Manifest] = TTLCache(MAX_CACHE_BYTES, MAX_CACHE_SECONDS, getsizeof=bytes_of)


def _key(store: Store, report: str, run_key: str) -> tuple[str, str, str]:
    return store.location, report, run_key


@cached(_CACHE, key=_key, lock=threading.Lock())
def cached_manifest(store: Store, report: str, run_key: str) -> Manifest:
    """Returns a published run's manifest.

    Raises:
        IntegrityError: there is none, or it is not a manifest.
    """
    return read_manifest(store, report, run_key)
