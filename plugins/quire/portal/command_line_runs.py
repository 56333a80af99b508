"""Lists command-line runs. Airflow has no record of these runs, so they are listed from their manifests."""

from __future__ import annotations

import heapq
import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cachetools import LRUCache, TTLCache, cachedmethod

from quire.errors import IntegrityError, StoreRefusedError
from quire.object_store import Store
from quire.object_store.commit_records import MANIFEST_LIMITS, RecordLimits, map_concurrently
from quire.record_types.manifest import RUN_KEY, Manifest, manifest_key
from quire.runs.manifest_store import load_manifest

logger = logging.getLogger(__name__)

RUN_ID = re.compile(r"cli__[0-9a-f]{32}")
MAX_LISTED = 100  # newest runs
MAX_READ = 200  # manifests per call
MAX_READERS = 4  # concurrent readers; each needs up to about 200 MB of memory to parse a manifest
MAX_CACHED_ORIGINS = 20_000  # about 400 bytes each
MAX_LISTING_BYTES = 16 * 1024 * 1024
MAX_LISTING_SECONDS = 30.0
MAX_UNREADABLE_SECONDS = 300.0  # an unreadable manifest is read again after this time

Run = TypeVar("Run")
Location = tuple[str, str]  # the store's location and the report's name
Version = tuple[str, datetime]  # the run key and the manifest's modification time


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CommandLineRun:
    """A published command-line run."""

    made_at: datetime
    run_key: str
    run_id: str


class CommandLineRuns:
    """Lists command-line runs. Caches both the listings and the runs. Every method is thread-safe.

    Args:
        max_reads: maximum number of manifests that a call reads, newest first. Later calls read the older manifests.
        listing_seconds: how long a listing is cached.
        limits: the limits for each manifest.
    """

    def __init__(
        self,
        *,
        max_reads: int = MAX_READ,
        listing_seconds: float = MAX_LISTING_SECONDS,
        limits: RecordLimits = MANIFEST_LIMITS,
    ) -> None:
        self._max_reads, self._limits = max_reads, limits
        self._listings: TTLCache[Location, tuple[Version, ...]] = TTLCache(
            MAX_LISTING_BYTES, listing_seconds, getsizeof=lambda versions: 250 * len(versions) + 100
        )
        self._origins: LRUCache[tuple[Location, Version], CommandLineRun | None] = LRUCache(MAX_CACHED_ORIGINS)
        self._unreadable: TTLCache[tuple[Location, Version], None] = TTLCache(
            MAX_CACHED_ORIGINS, MAX_UNREADABLE_SECONDS
        )
        self._listing_lock, self._origin_lock = threading.Lock(), threading.Lock()

    def list(self, store: Store, report: str) -> list[CommandLineRun]:
        """Returns a report's command-line runs, newest first.

        Ignores manifests that are damaged, or to which the store denies access.

        Raises:
            StoreRefusedError, StoreUnavailableError: the manifests cannot be listed.
        """
        versions, location = self._versions(store, report), (store.location, report)
        with self._origin_lock:
            origins = {
                version: self._origins[location, version]
                for version in versions
                if (location, version) in self._origins
            }
            unread = [
                version
                for version in versions
                if version not in origins and (location, version) not in self._unreadable
            ][: self._max_reads]
        origins_read = map_concurrently(
            lambda version: self._read_origin(store, report, version[0]), unread, max_lookups=MAX_READERS
        )
        with self._origin_lock:
            for version, (is_readable, origin) in zip(unread, origins_read, strict=True):
                if is_readable:
                    self._origins[location, version] = origin
                else:
                    self._unreadable[location, version] = None
        runs = [run for run in (*origins.values(), *(origin for _, origin in origins_read)) if run]
        return sorted(runs, reverse=True)[:MAX_LISTED]

    @cachedmethod(
        lambda self: self._listings,
        key=lambda _, store, report: (store.location, report),
        lock=lambda self: self._listing_lock,
    )
    def _versions(self, store: Store, report: str) -> tuple[Version, ...]:
        """Returns a report's newest manifests, newest first. Folders without a manifest are ignored."""
        prefix = f"reports/{report}/"
        dated = (
            (entry.modified, run_key)
            for entry in store.list(prefix)
            if re.fullmatch(RUN_KEY, run_key := entry.key.removeprefix(prefix).partition("/")[0])
            and entry.key == manifest_key(report, run_key)
        )
        return tuple((run_key, modified) for modified, run_key in heapq.nlargest(MAX_CACHED_ORIGINS, dated))

    def _read_origin(self, store: Store, report: str, run_key: str) -> tuple[bool, CommandLineRun | None]:
        """Returns whether a run's manifest is readable, and the run itself if it was published from the command line.

        Does not return the manifest, because manifests are large and few of them should be in memory at a time.
        """
        try:
            manifest = load_manifest(store, manifest_key(report, run_key), limits=self._limits)
            return manifest is not None, _origin(manifest, run_key) if manifest else None
        except (IntegrityError, StoreRefusedError, ValueError) as error:
            logger.warning("%s: run %s's manifest cannot be read: %s", report, run_key, error)
            return False, None


def _origin(manifest: Manifest, run_key: str) -> CommandLineRun | None:
    if not RUN_ID.fullmatch(manifest.run_id):
        return None
    made_at = datetime.fromisoformat(manifest.made_at)
    if made_at.tzinfo is None:
        raise ValueError(f"made_at {manifest.made_at} has no time zone")
    return CommandLineRun(made_at=made_at, run_key=run_key, run_id=manifest.run_id)


def merge_page(
    airflow_runs: Sequence[tuple[datetime, Run]], own: Sequence[CommandLineRun], *, skip: int, limit: int
) -> list[Run | CommandLineRun]:
    """Merges Airflow's runs with command-line runs, newest first, and returns a page of the result.

    Args:
        airflow_runs: Airflow's runs, starting with the first run that may be on the page.
        own: all command-line runs.
        skip: number of merged runs before the page.
        limit: maximum number of runs.
    """
    merged: list[tuple[datetime, Run | CommandLineRun]] = [*airflow_runs, *((run.made_at, run) for run in own)]
    merged.sort(key=lambda pair: pair[0], reverse=True)
    return [run for _, run in merged[skip : skip + limit]]
