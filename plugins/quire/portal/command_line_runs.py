"""Runs that the command line published: Airflow knows nothing of them, but their manifests are in the store."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from cachetools import LRUCache, TTLCache, cached

from quire.artifacts import Manifest, manifest_key
from quire.object_store import ObjectStore
from quire.records import read_record, side_by_side

RUN_ID = re.compile(r"cli__[0-9a-f]{32}")
MAX_LISTED = 100  # the newest
MAX_READ = 200  # manifests for one list; the others follow with the next ones
MAX_REMEMBERED = 20_000  # manifests, by whether the command line published them: some 300 bytes each
MAX_LISTING_BYTES = 8 * 1024 * 1024
MAX_LISTING_SECONDS = 30.0

Run = TypeVar("Run")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CommandLineRun:
    """A published run of the command line."""

    made_at: datetime
    run_key: str
    run_id: str


def _listing_key(store: ObjectStore, report: str) -> tuple[str, str | None, str]:
    return store.bucket, store.settings.endpoint_url, report


_LISTINGS: TTLCache[tuple[str, str | None, str], tuple[str, ...]] = TTLCache(
    MAX_LISTING_BYTES, MAX_LISTING_SECONDS, getsizeof=lambda keys: 100 * len(keys) + 100
)
_ORIGINS: LRUCache[tuple[Any, ...], CommandLineRun | None] = LRUCache(MAX_REMEMBERED)
_LOCK = threading.Lock()


@cached(_LISTINGS, key=_listing_key, lock=threading.Lock())
def _run_keys(store: ObjectStore, report: str) -> tuple[str, ...]:
    return tuple(folder.split("/")[2] for folder in store.folders(f"reports/{report}/"))


def command_line_runs(store: ObjectStore, report: str) -> list[CommandLineRun]:
    """Returns the runs of a report that the command line published, the newest first.

    Raises:
        IntegrityError: a manifest cannot be read.
        StoreRefusedError, StoreUnavailableError: the object store cannot be asked.
    """
    keys = _run_keys(store, report)
    place = _listing_key(store, report)
    with _LOCK:
        origins = {key: _ORIGINS[(*place, key)] for key in keys if (*place, key) in _ORIGINS}
    unread = [key for key in keys if key not in origins][:MAX_READ]
    manifests = side_by_side(lambda key: read_record(store, Manifest, manifest_key(report, key)), unread)
    read = {key: _origin(manifest) for key, manifest in zip(unread, manifests, strict=True) if manifest}
    with _LOCK:
        for key, origin in read.items():
            _ORIGINS[(*place, key)] = origin
    runs = [origin for origin in (*origins.values(), *read.values()) if origin]
    return sorted(runs, reverse=True)[:MAX_LISTED]


def _origin(manifest: Manifest) -> CommandLineRun | None:
    if not RUN_ID.fullmatch(manifest.run_id):
        return None
    made_at = datetime.fromisoformat(manifest.made_at)
    return CommandLineRun(made_at=made_at, run_key=manifest.run, run_id=manifest.run_id)


def merge_page(
    others: Sequence[tuple[datetime, Run]], own: Sequence[CommandLineRun], *, skip: int, limit: int
) -> list[Run | CommandLineRun]:
    """Returns one page of two lists of runs, the newest first.

    Args:
        others: Airflow's, from the first that can be on the page on.
        own: all of the command line's.
        skip: how many of both together come before the page.
        limit: how many at most.
    """
    both: list[tuple[datetime, Run | CommandLineRun]] = [*others, *((run.made_at, run) for run in own)]
    both.sort(key=lambda pair: pair[0], reverse=True)
    return [run for _, run in both[skip : skip + limit]]
