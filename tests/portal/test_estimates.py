"""Estimates over a real database and store: what they look at, and that they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from quire.definition import ReportDefinition
from quire.object_store import ObjectStore
from quire.portal.estimate_queue import Deadline, EstimateQueue, EstimateUnavailableError
from quire.portal.estimates import MAX_PARTITIONS, estimate
from quire.portal.questions import read_question
from quire.portal.views import EstimateView

from tests.events import events_report, fill_many_events, session_of

LONG = 60.0


class CountingStore(ObjectStore):
    """Counts the requests to it."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store.settings)
        self.requests = 0
        self.client.meta.events.register("before-call.s3", self._count)

    def _count(self, **_: object) -> None:
        self.requests += 1


@pytest.fixture
def definition(tmp_path: Path, fresh_database: str) -> ReportDefinition:
    fill_many_events(fresh_database, 20_000, minutes=60)
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("ANALYZE events")
    return events_report(tmp_path, partition="day", source={"freshness": {"probe": "id"}})


def estimation(
    definition: ReportDefinition, url: str, store: ObjectStore, *, end: str
) -> Callable[[Deadline], EstimateView]:
    question = read_question(definition, start="2013-01-01", end=end, parameters={})
    return lambda deadline: estimate(question, session=session_of(url), store=store, deadline=deadline)


def test_estimate_of_many_partitions_looks_at_none_of_them(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    store = CountingStore(bucket)
    narrow = estimation(definition, fresh_database, store, end="2013-01-10")(Deadline(LONG))
    assert (narrow.partitions, store.requests) == (10, 10)
    wide = estimation(definition, fresh_database, store, end="2015-01-31")(Deadline(LONG))
    assert (wide.partitions, wide.stored, wide.is_exact, store.requests) == (761, 0, False, 10)
    assert wide.partitions > MAX_PARTITIONS
    assert 0.5 < wide.rows / 18_000 < 1.5


def test_estimate_that_waits_for_a_lock_ends_at_its_deadline(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    work = estimation(definition, fresh_database, bucket, end="2013-01-10")

    async def test() -> None:
        queue = EstimateQueue(places=1, seconds=2, wait=LONG)
        with psycopg.connect(fresh_database) as other:
            other.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(EstimateUnavailableError, match="took too long"):
                await queue.run("ann", work)
        # its thread has left, and with it the only place and the connection
        longer = EstimateQueue(places=1, seconds=LONG)
        longer._places, longer._threads = queue._places, queue._threads
        assert (await longer.run("bob", work)).partitions == 10

    asyncio.run(test())


def test_estimate_that_nobody_waits_for_asks_no_store(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    store, deadline = CountingStore(bucket), Deadline(LONG)
    work = estimation(definition, fresh_database, store, end="2013-01-10")
    deadline.cancelled.set()
    with pytest.raises(EstimateUnavailableError):
        work(deadline)
    assert store.requests == 0
