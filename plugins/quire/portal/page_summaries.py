"""Prepares and caches the summaries on run pages. A queue limits the memory that the preparations need.

Each preparation holds at most ``MAX_STORED_BYTES`` of stored data in memory. All preparations in a process together
hold at most ``MAX_TABLE_BYTES`` of decoded data, because only one of them decodes data at a time.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from cachetools import TTLCache

from quire.errors import StoreRefusedError, StoreUnavailableError
from quire.object_store import Store
from quire.portal.deadline_store import limit_store
from quire.portal.job_deadline import Deadline, WorkUnavailableError
from quire.portal.manifest_cache import estimate_memory
from quire.portal.work_queue import WorkQueue
from quire.record_types.manifest import Manifest
from quire.record_types.serialization import digest
from quire.report.definition import ReportDefinition
from quire.tables_and_charts.page_tables import SummaryTable, summary_tables

logger = logging.getLogger(__name__)

MAX_PREPARATIONS = 2  # concurrent preparations per process
MAX_SECONDS = 10.0  # maximum time a page waits for its summaries
MAX_CACHE_BYTES = 16 * 1024 * 1024  # per process
MAX_CACHE_SECONDS = 60.0  # deleted summaries may remain visible for this long
NOT_READY = "The summaries are not ready yet. Reload this page in a few seconds."
UNAVAILABLE = "The summaries are unavailable because the file store is not responding. Reload this page later."
UNREADABLE = "The summaries cannot be displayed. Contact your Airflow administrator."

Tables = Sequence[SummaryTable]
Key = tuple[Any, ...]


class TableBuilder(Protocol):
    """Builds the tables for a run page."""

    def __call__(self, definition: ReportDefinition, manifest: Manifest, *, store: Store) -> Tables:
        """Returns the tables."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSummaries:
    """The summaries on a run page.

    Args:
        tables: summaries with their charts.
        message: explains why the summaries are missing and what to do; empty if none are missing.
    """

    tables: Tables = ()
    message: str = ""


class SummaryPreparations:
    """Prepares and caches the summaries on run pages. Concurrent requests for a run share a preparation.

    Args:
        queue: limits the number of concurrent preparations, by default to ``MAX_PREPARATIONS``.
        build: builds a run's tables.
        seconds: how long a page waits for a preparation that another request started.
    """

    def __init__(
        self, queue: WorkQueue | None = None, *, build: TableBuilder = summary_tables, seconds: float = MAX_SECONDS
    ) -> None:
        self._queue = queue or WorkQueue("summary", slots=MAX_PREPARATIONS, seconds=seconds, wait=seconds / 2)
        self._seconds = seconds
        self._build = build
        self._cache: TTLCache[Key, Tables] = TTLCache(MAX_CACHE_BYTES, MAX_CACHE_SECONDS, getsizeof=estimate_memory)
        self._running: dict[Key, Future[Tables]] = {}
        self._lock = threading.Lock()  # guards both the cache and the running preparations

    async def load(self, definition: ReportDefinition, manifest: Manifest, *, user: str, store: Store) -> PageSummaries:
        """Returns a run's summaries, or a message if they cannot be prepared.

        Args:
            definition: the report.
            manifest: the run's manifest.
            user: the ID of the user who requested the page.
            store: the store that holds the summaries.
        """
        run = f"{manifest.report} {manifest.run}"
        try:
            return PageSummaries(tables=await self._tables(definition, manifest, user, store=store))
        except WorkUnavailableError as error:
            logger.info("%s: the summaries are not ready: %s", run, error)
            return PageSummaries(message=NOT_READY)
        except (StoreRefusedError, StoreUnavailableError) as error:
            logger.warning("%s: the summaries are unavailable: %s", run, error)
            return PageSummaries(message=UNAVAILABLE)
        except Exception:
            logger.exception("%s: the summaries cannot be prepared", run)
            return PageSummaries(message=UNREADABLE)

    async def _tables(self, definition: ReportDefinition, manifest: Manifest, user: str, *, store: Store) -> Tables:
        key = _key(definition, manifest, store)
        with self._lock:
            tables, running = self._cache.get(key), self._running.get(key)
        if tables is not None:
            return tables
        if running is not None:
            return await _join(running, self._seconds)

        def work(deadline: Deadline) -> Tables:
            return self._prepare(key, definition, manifest, store=store, deadline=deadline)

        return await self._queue.run(user, work, supersedes=False)

    def _prepare(
        self, key: Key, definition: ReportDefinition, manifest: Manifest, *, store: Store, deadline: Deadline
    ) -> Tables:
        """Returns the tables, reusing another thread's result if possible. Runs in one of the queue's threads."""
        own = Future[Tables]()
        own.set_running_or_notify_cancel()  # prevents waiting requests from canceling the future
        with self._lock:
            if (tables := self._cache.get(key)) is not None:
                return tables
            running = self._running.setdefault(key, own)
        if running is not own:
            try:
                return running.result(deadline.remaining)
            except TimeoutError as error:
                raise deadline.timeout_error() from error
        try:
            tables = tuple(self._build(definition, manifest, store=limit_store(store, deadline)))
        except BaseException as error:
            self._finish(key, own, None)
            own.set_exception(error)
            raise
        self._finish(key, own, tables)
        return tables

    def _finish(self, key: Key, own: Future[Tables], tables: Tables | None) -> None:
        """Passes the tables to the waiting requests. Caches the tables unless they exceed the cache size."""
        with self._lock:
            del self._running[key]
            if tables is not None and estimate_memory(tables) <= MAX_CACHE_BYTES:
                self._cache[key] = tables
        if tables is not None:
            own.set_result(tables)


def _key(definition: ReportDefinition, manifest: Manifest, store: Store) -> Key:
    """Returns a cache key that includes everything that determines the tables."""
    definition_digest = digest(definition.model_dump(mode="json"))
    return (store.location, definition.name, manifest.run, manifest.summaries, definition_digest)


async def _join(running: Future[Tables], seconds: float) -> Tables:
    """Waits for a preparation that another request started."""
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(asyncio.wrap_future(running))
    except TimeoutError as error:
        raise WorkUnavailableError("A preparation that another request started timed out.") from error
