"""Summaries on run pages use little memory, are prepared only once and a few at a time, and never break a page."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from quire.errors import StoreUnavailableError
from quire.object_store import Store
from quire.object_store.memory_store import MemoryStore
from quire.portal import page_summaries
from quire.portal.page_summaries import (
    NOT_READY,
    UNAVAILABLE,
    UNREADABLE,
    PageSummaries,
    SummaryPreparations,
    TableBuilder,
)
from quire.portal.work_queue import WorkQueue
from quire.record_types.manifest import Manifest, manifest_key
from quire.record_types.serialization import to_json
from quire.record_types.stage_records import StagedSummary
from quire.report.definition import ReportDefinition
from quire.tables_and_charts import page_tables
from quire.tables_and_charts.page_tables import SummaryTable, summary_tables

from tests.events import MADE_AT, ZONE, events_report
from tests.polling import until
from tests.portal.in_process import Portal, open_portal
from tests.portal.unreliable_stores import ObservedStore

LONG = 60.0
ROWS = 500_000
MEGABYTE = 1024 * 1024
MEASURES = {"events": {"agg": "count"}, "amount": {"agg": "sum", "of": "amount"}, "weight": {"agg": "max", "of": "id"}}
SUMMARIES = [
    {"name": name, "by": ["kind"], "measures": MEASURES, "chart": {"type": "line", "x": "kind", "y": ["events"]}}
    for name in ("By kind", "By kind again")
]


class User:
    """An Airflow user who has only a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get_id(self) -> str:
        return self._name


@pytest.fixture
def definition(tmp_path: Path) -> ReportDefinition:
    return events_report(tmp_path, summaries=SUMMARIES)


def preparations_of(
    build: TableBuilder = summary_tables, *, seconds: float = LONG, wait: float = LONG
) -> SummaryPreparations:
    queue = WorkQueue("summary", slots=page_summaries.MAX_PREPARATIONS, seconds=seconds, wait=wait)
    return SummaryPreparations(queue, build=build, seconds=seconds)


@pytest.fixture
def summaries() -> SummaryPreparations:
    """Summary preparations that do not time out."""
    return preparations_of()


def publish(store: Store, *, rows: int = 3, run: str = "a" * 32) -> Manifest:
    """Stores two summaries, and a command-line run's manifest that lists both."""
    numbers = pa.array(np.arange(rows))
    texts = pc.binary_join_element_wise("kind ", pc.utf8_lpad(pc.cast(numbers, pa.string()), 9, "0"), "")
    table = pa.table({"kind": texts, **dict.fromkeys(("events", "amount", "weight"), numbers)})
    body = io.BytesIO()
    pq.write_table(table, body, row_group_size=100_000)
    staged: list[StagedSummary] = []
    for number, summary in enumerate(SUMMARIES):
        key, stored = f"summaries/events/{run}-{number}.parquet", body.getvalue()
        store.put(key, stored)
        sha256 = hashlib.sha256(stored).hexdigest()
        name = str(summary["name"])
        staged.append(StagedSummary(name=name, object_key=key, rows=rows, bytes=len(stored), sha256=sha256))
    manifest = Manifest(
        report="events", run=run, run_id=f"cli__{run}", title="Events", made_at=MADE_AT, start=date(2013, 1, 1),
        end=date(2013, 1, 31), timezone=ZONE, parameters={}, rows=0, partitions=(), summaries=tuple(staged), files=(),
    )  # fmt: skip
    store.put_json_once(manifest_key("events", run), to_json(manifest))
    return manifest


async def prepared(
    summaries: SummaryPreparations, definition: ReportDefinition, manifest: Manifest, *, store: Store, user: str = "ann"
) -> PageSummaries:
    return await summaries.load(definition, manifest, user=user, store=store)


class HeldBuilder:
    """Builds tables; counts the active calls, and blocks each call until a test grants it a permit."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.active = self.most = 0
        self.permits = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __call__(self, definition: ReportDefinition, manifest: Manifest, *, store: Store) -> Sequence[SummaryTable]:
        with self._lock:
            self.begun.append(manifest.run)
            self.active += 1
            self.most = max(self.most, self.active)
        assert self.permits.acquire(timeout=LONG)
        with self._lock:
            self.active -= 1
        return [SummaryTable(name=manifest.run, header=[], rows=[], total_rows=0, chart="")]


def names(summaries: PageSummaries) -> list[str]:
    return [table.name for table in summaries.tables]


def test_summaries_decode_only_first_rows_of_large_tables(definition: ReportDefinition, store: MemoryStore) -> None:
    manifest = publish(store, rows=ROWS)
    pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        first, second = summary_tables(definition, manifest, store=store)
    finally:
        pa.set_memory_pool(before)
    assert first.rows[0] == ["kind 000000000", "0", "0", "0"]
    assert (len(first.rows), first.total_rows, second.total_rows) == (page_tables.MAX_ROWS, ROWS, ROWS)
    assert f"first 1,000 of {ROWS:,}" in first.chart
    assert pool.max_memory() < 16 * MEGABYTE  # the full table would need 19 MB


def test_summaries_cache_no_more_rows_than_the_page_shows(
    summaries: SummaryPreparations, definition: ReportDefinition, store: MemoryStore
) -> None:
    manifest = publish(store, rows=ROWS)
    page = asyncio.run(prepared(summaries, definition, manifest, store=store))
    assert len(page.tables) == 2
    (cached,) = summaries._cache.values()
    assert cached is page.tables
    assert 0 < summaries._cache.currsize < MEGABYTE < summaries._cache.maxsize


def test_summaries_of_concurrent_requests_are_prepared_once(definition: ReportDefinition, store: MemoryStore) -> None:
    builder, manifest = HeldBuilder(), publish(store)
    summaries = preparations_of(builder)

    async def test() -> list[PageSummaries]:
        users = ("ann", "ann", "bob", "carl")
        tasks = [
            asyncio.create_task(prepared(summaries, definition, manifest, store=store, user=user)) for user in users
        ]
        await until_begun(builder, 1)
        late = asyncio.create_task(prepared(summaries, definition, manifest, store=store, user="dora"))
        await asyncio.sleep(0)  # lets the late request join the running preparation
        builder.permits.release(100)
        again = await prepared(summaries, definition, manifest, store=store)
        return [*await asyncio.gather(*tasks), await late, again]

    assert [names(page) for page in asyncio.run(test())] == [[manifest.run]] * 6
    assert builder.begun == [manifest.run]


def test_summaries_are_prepared_in_few_slots_and_one_per_user(definition: ReportDefinition, store: MemoryStore) -> None:
    builder, manifest = HeldBuilder(), publish(store)
    summaries = preparations_of(builder)
    runs = [f"{number:032x}" for number in range(12)]

    def page(run: str, user: str) -> asyncio.Task[PageSummaries]:
        return asyncio.create_task(prepared(summaries, definition, replace(manifest, run=run), store=store, user=user))

    async def test() -> None:
        of_ann = [page(run, "ann") for run in runs[:6]]
        await until_begun(builder, 1)
        others = [page(run, f"user {run}") for run in runs[6:]]
        for begun in range(2, 7):  # while other users wait, each preparation that ends lets one begin
            await until_begun(builder, begun)
            builder.permits.release()
        builder.permits.release(100)
        assert {len(names(prepared_page)) for prepared_page in await asyncio.gather(*of_ann, *others)} == {1}

    asyncio.run(test())
    assert (builder.most, sorted(builder.begun)) == (page_summaries.MAX_PREPARATIONS, runs)
    assert [run in runs[:6] for run in builder.begun[:2]] == [True, False]


def test_summaries_are_prepared_again_after_a_change(
    summaries: SummaryPreparations, definition: ReportDefinition, store: MemoryStore, tmp_path: Path
) -> None:
    manifest = publish(store)
    first = asyncio.run(prepared(summaries, definition, manifest, store=store))
    measures = {**MEASURES, "events": {"agg": "count", "format": '0 "pcs"'}}
    changed = events_report(tmp_path, summaries=[{**summary, "measures": measures} for summary in SUMMARIES])
    second = asyncio.run(prepared(summaries, changed, manifest, store=store))
    assert (first.tables[0].rows[1][1], second.tables[0].rows[1][1]) == ("1", "1 pcs")
    damaged = replace(manifest, summaries=tuple(replace(one, sha256="0" * 64) for one in manifest.summaries))
    assert asyncio.run(prepared(summaries, definition, damaged, store=store)).tables == ()


@pytest.fixture
def portal(
    definition: ReportDefinition,
    tmp_path: Path,
    store: MemoryStore,
    summaries: SummaryPreparations,
    monkeypatch: pytest.MonkeyPatch,
) -> Portal:
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal(lambda: store, summaries=summaries)


def run_page(portal: Portal) -> httpx.Response:
    return portal.get(f"/reports/events/runs/cli__{'a' * 32}", headers={"Accept": "text/html"})


def test_run_page_shows_its_summaries(portal: Portal, store: MemoryStore) -> None:
    publish(store)
    page = run_page(portal)
    assert (page.status_code, page.text.count("<td>kind 000000002</td>")) == (200, 2)


def test_run_page_without_a_free_slot_shows_a_message(portal: Portal, store: MemoryStore) -> None:
    publish(store)
    builder = HeldBuilder()
    portal.use(summaries=preparations_of(builder, seconds=0.2, wait=0.1))
    try:
        for _ in range(2):  # the first preparation is still running during the second
            page = run_page(portal)
            assert (page.status_code, NOT_READY in page.text) == (200, True)
    finally:
        builder.permits.release(100)
    assert builder.begun == ["a" * 32]


@pytest.mark.parametrize(
    ("error", "sentence"), [(StoreUnavailableError("away"), UNAVAILABLE), (ZeroDivisionError(), UNREADABLE)]
)
def test_run_page_with_unreadable_summaries_shows_a_message(
    portal: Portal, caplog: pytest.LogCaptureFixture, error: Exception, sentence: str
) -> None:
    def fail_summaries(key: str) -> None:
        if key.startswith("summaries/"):
            raise error

    store = ObservedStore(fail_summaries)
    publish(store)
    portal.use(open_store=lambda: store)
    page = run_page(portal)
    assert (page.status_code, sentence in page.text) == (200, True)
    assert f"events {'a' * 32}: the summaries" in caplog.text


async def until_begun(builder: HeldBuilder, count: int) -> None:
    await until(lambda: len(builder.begun) >= count)
