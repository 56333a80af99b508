"""Estimates with a real database and a real store read few objects and meet their deadlines."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from quire.errors import ReportError, StoreUnavailableError
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.portal.deadline_store import short_timeout_client
from quire.portal.estimates import MAX_CHECKED_PARTITIONS, estimate
from quire.portal.job_deadline import Deadline, WorkUnavailableError
from quire.portal.run_requests import parse_request
from quire.portal.views import EstimateView
from quire.portal.work_queue import WorkQueue
from quire.report.definition import ReportDefinition

from tests.events import events_report, fill_many_events, request_of, session_of

pytestmark = pytest.mark.server

LONG = 60.0


class CountingStore(S3Store):
    """A store that counts the requests to S3."""

    def __init__(self, store: S3Store) -> None:
        super().__init__(store.settings)
        self.requests = 0
        for client in (self.client, short_timeout_client(store.settings)):
            client.meta.events.register("before-call.s3", self._count)

    def _count(self, **_: object) -> None:
        self.requests += 1


@pytest.fixture
def definition(tmp_path: Path, fresh_database: str) -> ReportDefinition:
    fill_many_events(fresh_database, 20_000, minutes=60)
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("ANALYZE events")
    return events_report(tmp_path, partition="day", source={"freshness": {"probe": "id"}})


def estimation(
    definition: ReportDefinition, url: str, store: S3Store, *, end: str
) -> Callable[[Deadline], EstimateView]:
    question = parse_request(definition, start="2013-01-01", end=end, parameters={})
    return lambda deadline: estimate(question, session=session_of(url), store=store, deadline=deadline)


def test_estimate_of_many_partitions_reads_nothing_from_the_store(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    store = CountingStore(bucket)
    narrow = estimation(definition, fresh_database, store, end="2013-01-10")(Deadline(LONG))
    assert (narrow.partitions, store.requests) == (10, 10)
    wide = estimation(definition, fresh_database, store, end="2015-01-31")(Deadline(LONG))
    assert (wide.partitions, wide.stored, wide.is_exact, store.requests) == (761, 0, False, 10)
    assert wide.partitions > MAX_CHECKED_PARTITIONS
    assert 0.5 < wide.rows / 18_000 < 1.5


def test_estimate_blocked_by_a_lock_ends_at_its_deadline(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    work = estimation(definition, fresh_database, bucket, end="2013-01-10")

    async def test() -> None:
        queue = WorkQueue(slots=1, seconds=2, wait=LONG)
        with psycopg.connect(fresh_database) as other:
            other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(WorkUnavailableError, match="timed out"):
                await queue.run("ann", work)
        # the thread has returned by now, and has released the only slot and the connection
        assert (await queue.run("bob", work)).partitions == 10

    asyncio.run(test())


def test_estimate_that_was_cancelled_sends_no_store_requests(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    store, deadline = CountingStore(bucket), Deadline(LONG)
    work = estimation(definition, fresh_database, store, end="2013-01-10")
    deadline.cancelled.set()
    with pytest.raises(WorkUnavailableError):
        work(deadline)
    assert store.requests == 0


def test_estimate_does_not_delete_a_damaged_record(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    request = request_of(definition, end="2013-01-03")
    run_report(definition, request, session=session_of(fresh_database), store=bucket)
    damaged = next(stored.key for stored in bucket.list("partitions/events/") if stored.key.endswith(".json"))
    bucket.put(damaged, b"damaged")
    view = estimation(definition, fresh_database, bucket, end="2013-01-03")(Deadline(LONG))
    assert (view.partitions, view.stored, view.is_exact) == (3, 2, False)
    assert bucket.read(damaged) == b"damaged"


def test_estimate_with_an_unresponsive_store_fails_soon(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:  # a server that accepts connections but never responds
        store = S3Store(replace(bucket.settings, endpoint_url=f"http://127.0.0.1:{hung.getsockname()[1]}"))
        work = estimation(definition, fresh_database, store, end="2013-01-10")
        ended = list[Exception]()

        def run() -> None:
            try:
                work(Deadline(LONG))
            except ReportError as error:
                ended.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(45)  # a run's client would wait 60 s and then retry
        assert [type(error) for error in ended] == [StoreUnavailableError]
