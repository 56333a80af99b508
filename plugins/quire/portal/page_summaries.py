"""Summaries of run pages: prepared by a small queue within a bound of memory, and cached.

A preparation takes at most ``MAX_STORED_BYTES`` for the stored object, and all preparations of a process together
``MAX_TABLE_BYTES`` to decode one, because they decode in turn.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from cachetools import TTLCache

from quire.errors import StoreRefusedError, StoreUnavailableError
from quire.object_store import S3Store
from quire.portal.access import Reading
from quire.portal.deadline_store import HurriedStore
from quire.portal.manifest_cache import bytes_of
from quire.portal.work_queue import Deadline, WorkQueue, WorkUnavailableError
from quire.records.manifest import Manifest
from quire.records.serialization import digest
from quire.report.definition import ReportDefinition
from quire.sheets.page_tables import SummaryTable, summary_tables

logger = logging.getLogger(__name__)

MAX_PREPARATIONS = 2  # at once, in one process of the API server
MAX_SECONDS = 10.0  # that a page waits for its summaries
MAX_CACHE_BYTES = 16 * 1024 * 1024  # of one process
MAX_CACHE_SECONDS = 60.0  # that summaries may be shown after they were deleted
NOT_READY = "The summaries are not ready yet. Reload this page in a few seconds."
UNAVAILABLE = "The summaries are unavailable because the file store does not answer. Reload this page later."
UNREADABLE = "The summaries cannot be shown. Ask your Airflow administrator."

Tables = Sequence[SummaryTable]
Key = tuple[Any, ...]

_QUEUE = WorkQueue("summary", places=MAX_PREPARATIONS, seconds=MAX_SECONDS, wait=MAX_SECONDS / 2)
_CACHE: TTLCache[Key, Tables] = TTLCache(MAX_CACHE_BYTES, MAX_CACHE_SECONDS, getsizeof=bytes_of)
_RUNNING: dict[Key, Future[Tables]] = {}
_LOCK = threading.Lock()  # of both


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSummaries:
    """The summaries of a run's page.

    Args:
        tables: with their charts.
        notice: a sentence that says why there are none, and what to do; empty where nothing is wrong.
    """

    tables: Tables = ()
    notice: str = ""


async def summaries_for(reading: Reading, manifest: Manifest, *, store: S3Store) -> PageSummaries:
    """Returns what a run's page shows of its summaries; the page does without them where they cannot be prepared.

    Args:
        reading: the report and its reader.
        manifest: of the run.
        store: where the summaries are.
    """
    definition, place = reading.definition, f"{manifest.report} {manifest.run}"
    try:
        return PageSummaries(tables=await _tables(definition, manifest, reading.caller.user.get_id(), store))
    except WorkUnavailableError as error:
        logger.info("%s: its summaries are not ready: %s", place, error)
        return PageSummaries(notice=NOT_READY)
    except (StoreRefusedError, StoreUnavailableError) as error:
        logger.warning("%s: its summaries are not shown: %s", place, error)
        return PageSummaries(notice=UNAVAILABLE)
    except Exception:
        logger.exception("%s: its summaries cannot be shown", place)
        return PageSummaries(notice=UNREADABLE)


async def _tables(definition: ReportDefinition, manifest: Manifest, user: str, store: S3Store) -> Tables:
    key = _key(definition, manifest, store)
    with _LOCK:
        tables, running = _CACHE.get(key), _RUNNING.get(key)
    if tables is not None:
        return tables
    if running is not None:
        return await _join(running)
    return await _QUEUE.run(user, partial(_prepare, key, definition, manifest, store), supersedes=False)


def _key(definition: ReportDefinition, manifest: Manifest, store: S3Store) -> Key:
    """Returns what decides the tables: the stored summaries, and the definition that they are shown by."""
    shown_by = digest(definition.model_dump(mode="json"))
    return (store.location, definition.name, manifest.run, manifest.summaries, shown_by)


async def _join(running: Future[Tables]) -> Tables:
    """Waits for a preparation that another request has begun."""
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await asyncio.shield(asyncio.wrap_future(running))
    except TimeoutError as error:
        raise WorkUnavailableError("Another request's preparation took too long") from error


def _prepare(key: Key, definition: ReportDefinition, manifest: Manifest, store: S3Store, deadline: Deadline) -> Tables:
    """Returns the tables, unless another thread has them or prepares them; runs in a thread of the queue."""
    own = Future[Tables]()
    own.set_running_or_notify_cancel()  # so that no request that waits for it can cancel it
    with _LOCK:
        if (tables := _CACHE.get(key)) is not None:
            return tables
        running = _RUNNING.setdefault(key, own)
    if running is not own:
        try:
            return running.result(deadline.remaining)
        except TimeoutError as error:
            raise deadline.exceeded() from error
    try:
        tables = tuple(summary_tables(definition, manifest, store=HurriedStore(store, deadline)))
    except BaseException as error:
        _finish(key, own, None)
        own.set_exception(error)
        raise
    _finish(key, own, tables)
    return tables


def _finish(key: Key, own: Future[Tables], tables: Tables | None) -> None:
    """Caches tables, unless they are larger than the whole cache, and hands them to whoever waits."""
    with _LOCK:
        del _RUNNING[key]
        if tables is not None and bytes_of(tables) <= MAX_CACHE_BYTES:
            _CACHE[key] = tables
    if tables is not None:
        own.set_result(tables)
