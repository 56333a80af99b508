"""Summaries on run pages: they use little memory, are prepared once and few at a time, and never break a page."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.errors import StoreUnavailableError
from quire.object_store.s3_store import S3Store
from quire.portal import command_line_runs, page_summaries
from quire.portal.access import Caller, ReportAccess
from quire.portal.manifest_cache import _CACHE
from quire.portal.page_summaries import NOT_READY, UNAVAILABLE, UNREADABLE, PageSummaries, load_summaries
from quire.portal.work_queue import WorkQueue
from quire.report.definition import ReportDefinition
from quire.run_records.manifest import Manifest, manifest_key
from quire.run_records.serialization import to_json
from quire.run_records.stage_records import StagedSummary
from quire.tables_and_charts import page_tables
from quire.tables_and_charts.page_tables import SummaryTable, summary_tables

from tests.events import MADE_AT, ZONE, events_report
from tests.portal.in_process import Portal, open_portal

LONG = 60.0
ROWS = 500_000
MEGABYTE = 1024 * 1024
MEASURES = {"events": {"agg": "count"}, "amount": {"agg": "sum", "of": "amount"}, "weight": {"agg": "max", "of": "id"}}
SUMMARIES = [
    {"name": name, "by": ["kind"], "measures": MEASURES, "chart": {"type": "line", "x": "kind", "y": ["events"]}}
    for name in ("By kind", "By kind again")
]


class User:
    """An Airflow user with a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get_id(self) -> str:
        return self._name


@pytest.fixture
def definition(tmp_path: Path) -> ReportDefinition:
    return events_report(tmp_path, summaries=SUMMARIES)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    page_summaries._CACHE.clear()
    _CACHE.clear()
    command_line_runs._LISTINGS.clear()
    use_queue(monkeypatch)


def use_queue(monkeypatch: pytest.MonkeyPatch, *, seconds: float = LONG, wait: float = LONG) -> None:
    slots = page_summaries.MAX_PREPARATIONS
    monkeypatch.setattr(page_summaries, "_QUEUE", WorkQueue("summary", slots=slots, seconds=seconds, wait=wait))


def publish(store: S3Store, *, rows: int = 3, run: str = "a" * 32) -> Manifest:
    """Stores two summaries and the manifest of a command-line run that lists them."""
    texts = pa.array([f"kind {number:09d}" for number in range(rows)])
    table = pa.table({"kind": texts, **dict.fromkeys(("events", "amount", "weight"), pa.array(range(rows)))})
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


async def prepared(definition: ReportDefinition, manifest: Manifest, store: S3Store, user: str) -> PageSummaries:
    caller: Any = Caller(user=User(user), api=None, is_program=True)  # type: ignore[arg-type]
    return await load_summaries(ReportAccess(caller=caller, definition=definition), manifest, store=store)


class Preparations:
    """Replaces ``summary_tables``; counts the active preparations and blocks each until a test releases it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: list[str] = []
        self.active = self.most = 0
        self.released = threading.Event()
        self._lock = threading.Lock()
        monkeypatch.setattr(page_summaries, "summary_tables", self)

    def __call__(self, definition: ReportDefinition, manifest: Manifest, **named: Any) -> Sequence[SummaryTable]:
        with self._lock:
            self.begun.append(manifest.run)
            self.active += 1
            self.most = max(self.most, self.active)
        assert self.released.wait(LONG)
        with self._lock:
            self.active -= 1
        return [SummaryTable(name=manifest.run, header=[], rows=[], total_rows=0, chart="")]


def names(summaries: PageSummaries) -> list[str]:
    return [table.name for table in summaries.tables]


def test_summaries_decode_only_first_rows_of_large_tables(definition: ReportDefinition, bucket: S3Store) -> None:
    manifest = publish(bucket, rows=ROWS)
    pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        first, second = summary_tables(definition, manifest, store=bucket)
    finally:
        pa.set_memory_pool(before)
    assert first.rows[0] == ["kind 000000000", "0", "0", "0"]
    assert (len(first.rows), first.total_rows, second.total_rows) == (page_tables.MAX_ROWS, ROWS, ROWS)
    assert f"first 1,000 of {ROWS:,}" in first.chart
    assert pool.max_memory() < 16 * MEGABYTE  # a complete table would take 19 MB


def test_summaries_cache_no_more_rows_than_the_page_shows(definition: ReportDefinition, bucket: S3Store) -> None:
    manifest = publish(bucket, rows=ROWS)
    summaries = asyncio.run(prepared(definition, manifest, bucket, "ann"))
    assert len(summaries.tables) == 2
    (cached,) = page_summaries._CACHE.values()
    assert cached is summaries.tables
    assert 0 < page_summaries._CACHE.currsize < MEGABYTE < page_summaries._CACHE.maxsize


def test_summaries_of_concurrent_requests_are_prepared_once(
    definition: ReportDefinition, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparations, manifest = Preparations(monkeypatch), publish(bucket)

    async def test() -> list[PageSummaries]:
        users = ("ann", "ann", "bob", "carl")
        tasks = [asyncio.create_task(prepared(definition, manifest, bucket, user)) for user in users]
        await until_begun(preparations, 1)
        late = asyncio.create_task(prepared(definition, manifest, bucket, "dora"))
        await asyncio.sleep(0.05)
        preparations.released.set()
        return [*await asyncio.gather(*tasks), await late, await prepared(definition, manifest, bucket, "ann")]

    assert [names(summaries) for summaries in asyncio.run(test())] == [[manifest.run]] * 6
    assert preparations.begun == [manifest.run]


def test_summaries_are_prepared_in_few_slots_and_one_per_user(
    definition: ReportDefinition, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparations, manifest = Preparations(monkeypatch), publish(bucket)
    runs = [f"{number:032x}" for number in range(12)]

    def page(run: str, user: str) -> asyncio.Task[PageSummaries]:
        return asyncio.create_task(prepared(definition, replace(manifest, run=run), bucket, user))

    async def test() -> None:
        of_ann = [page(run, "ann") for run in runs[:6]]
        await until_begun(preparations, 1)
        others = [page(run, f"user {run}") for run in runs[6:]]
        await until_begun(preparations, 2)
        await asyncio.sleep(0.1)
        assert [run in runs[:6] for run in preparations.begun] == [True, False]
        preparations.released.set()
        assert {len(names(summaries)) for summaries in await asyncio.gather(*of_ann, *others)} == {1}

    asyncio.run(test())
    assert (preparations.most, sorted(preparations.begun)) == (page_summaries.MAX_PREPARATIONS, runs)


def test_summaries_are_prepared_again_after_a_change(
    definition: ReportDefinition, bucket: S3Store, tmp_path: Path
) -> None:
    manifest = publish(bucket)
    first = asyncio.run(prepared(definition, manifest, bucket, "ann"))
    measures = {**MEASURES, "events": {"agg": "count", "format": '0 "pcs"'}}
    changed = events_report(tmp_path, summaries=[{**summary, "measures": measures} for summary in SUMMARIES])
    second = asyncio.run(prepared(changed, manifest, bucket, "ann"))
    assert (first.tables[0].rows[1][1], second.tables[0].rows[1][1]) == ("1", "1 pcs")
    damaged = replace(manifest, summaries=tuple(replace(one, sha256="0" * 64) for one in manifest.summaries))
    assert asyncio.run(prepared(definition, damaged, bucket, "ann")).tables == ()


@pytest.fixture
def portal(definition: ReportDefinition, tmp_path: Path, bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> Portal:
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal(monkeypatch, lambda: bucket)


def run_page(portal: Portal) -> httpx.Response:
    return portal.get(f"/reports/events/runs/cli__{'a' * 32}", headers={"Accept": "text/html"})


def test_run_page_shows_its_summaries(portal: Portal, bucket: S3Store) -> None:
    publish(bucket)
    page = run_page(portal)
    assert (page.status_code, page.text.count("<td>kind 000000002</td>")) == (200, 2)


def test_run_page_without_a_free_slot_shows_a_message(
    portal: Portal, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(bucket)
    preparations = Preparations(monkeypatch)
    use_queue(monkeypatch, seconds=0.2, wait=0.1)
    try:
        for _ in range(2):  # the first preparation is still running during the second
            page = run_page(portal)
            assert (page.status_code, NOT_READY in page.text) == (200, True)
    finally:
        preparations.released.set()
    assert preparations.begun == ["a" * 32]


@pytest.mark.parametrize(
    ("error", "sentence"), [(StoreUnavailableError("away"), UNAVAILABLE), (ZeroDivisionError(), UNREADABLE)]
)
def test_run_page_with_unreadable_summaries_shows_a_message(
    portal: Portal,
    bucket: S3Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    sentence: str,
) -> None:
    publish(bucket)

    def fail(*args: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(page_tables, "read_first_rows", fail)
    page = run_page(portal)
    assert (page.status_code, sentence in page.text) == (200, True)
    assert f"events {'a' * 32}: the summaries" in caplog.text


async def until_begun(preparations: Preparations, count: int) -> None:
    async with asyncio.timeout(LONG):
        while len(preparations.begun) < count:
            await asyncio.sleep(0.01)
