"""Runs that the command line published: Airflow knows nothing of them, but their manifests are in the store."""

from __future__ import annotations

import heapq
import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cachetools import LRUCache, TTLCache, cached

from quire.errors import IntegrityError, StoreRefusedError
from quire.object_store import Store
from quire.object_store.commit_records import side_by_side
from quire.records.manifest import RUN_KEY, Manifest, manifest_key
from quire.runs.manifest_store import load_manifest

logger = logging.getLogger(__name__)

RUN_ID = re.compile(r"cli__[0-9a-f]{32}")
MAX_LISTED = 100  # the newest
MAX_READ = 200  # manifests for one list, the newest first; older ones follow with the next lists
MAX_READERS = 4  # of manifests at once: each takes up to some 200 MB of memory while it is parsed
MAX_REMEMBERED = 20_000  # manifests, by whether the command line published them: some 400 bytes each
MAX_LISTING_BYTES = 16 * 1024 * 1024
MAX_LISTING_SECONDS = 30.0
MAX_UNREADABLE_SECONDS = 300.0  # that a manifest which cannot be read is left alone

Run = TypeVar("Run")
Place = tuple[str, str]  # location of the store, report
Version = tuple[str, datetime]  # a run's key, and when its manifest was written


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CommandLineRun:
    """A published run of the command line."""

    made_at: datetime
    run_key: str
    run_id: str


def _listing_key(store: Store, report: str) -> Place:
    return store.location, report


_LISTINGS: TTLCache[Place, tuple[Version, ...]] = TTLCache(
    MAX_LISTING_BYTES, MAX_LISTING_SECONDS, getsizeof=lambda versions: 250 * len(versions) + 100
)
_ORIGINS: LRUCache[tuple[Place, Version], CommandLineRun | None] = LRUCache(MAX_REMEMBERED)
_UNREADABLE: TTLCache[tuple[Place, Version], None] = TTLCache(MAX_REMEMBERED, MAX_UNREADABLE_SECONDS)
_LOCK = threading.Lock()


@cached(_LISTINGS, key=_listing_key, lock=threading.Lock())
def _versions(store: Store, report: str) -> tuple[Version, ...]:
    """Returns the newest manifests of a report, the newest first; folders without one are not runs."""
    prefix = f"reports/{report}/"
    dated = (
        (entry.modified, run_key)
        for entry in store.list(prefix)
        if re.fullmatch(RUN_KEY, run_key := entry.key.removeprefix(prefix).partition("/")[0])
        and entry.key == manifest_key(report, run_key)
    )
    return tuple((run_key, modified) for modified, run_key in heapq.nlargest(MAX_REMEMBERED, dated))


def command_line_runs(store: Store, report: str) -> list[CommandLineRun]:
    """Returns the runs of a report that the command line published, the newest first.

    A manifest that is damaged, or that the store refuses to give, is of no such run.

    Raises:
        StoreRefusedError, StoreUnavailableError: the object store cannot be asked.
    """
    versions, place = _versions(store, report), _listing_key(store, report)
    with _LOCK:
        origins = {version: _ORIGINS[place, version] for version in versions if (place, version) in _ORIGINS}
        unread = [version for version in versions if version not in origins and (place, version) not in _UNREADABLE][
            :MAX_READ
        ]
    read = side_by_side(lambda version: _read_origin(store, report, version[0]), unread, max_lookups=MAX_READERS)
    with _LOCK:
        for version, (is_readable, origin) in zip(unread, read, strict=True):
            if is_readable:
                _ORIGINS[place, version] = origin
            else:
                _UNREADABLE[place, version] = None
    runs = [run for run in (*origins.values(), *(origin for _, origin in read)) if run]
    return sorted(runs, reverse=True)[:MAX_LISTED]


def _read_origin(store: Store, report: str, run_key: str) -> tuple[bool, CommandLineRun | None]:
    """Returns whether a run's manifest can be read, and the run where the command line published it.

    Manifests are large: of each one no more than this is kept, so that few are in memory at once.
    """
    try:
        manifest = load_manifest(store, manifest_key(report, run_key))
        return manifest is not None, _origin(manifest, run_key) if manifest else None
    except (IntegrityError, StoreRefusedError, ValueError) as error:
        logger.warning("%s %s: its manifest cannot be read: %s", report, run_key, error)
        return False, None


def _origin(manifest: Manifest, run_key: str) -> CommandLineRun | None:
    if not RUN_ID.fullmatch(manifest.run_id):
        return None
    made_at = datetime.fromisoformat(manifest.made_at)
    if made_at.tzinfo is None:
        raise ValueError(f"made_at {manifest.made_at} has no time zone")
    return CommandLineRun(made_at=made_at, run_key=run_key, run_id=manifest.run_id)


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
