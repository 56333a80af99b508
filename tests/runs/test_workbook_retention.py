"""Garbage collection keeps the workbooks that a published run shares, and deletes them after the last such run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from quire.errors import IntegrityError
from quire.object_store.memory_store import MemoryStore
from quire.pipeline import run_report
from quire.record_types.manifest import Manifest
from quire.report.definition import ReportDefinition
from quire.runs.retention import CollectionResult, collect_garbage
from quire.runs.verify import verify_run

from tests.events import events_report, request_of, session_of

pytestmark = pytest.mark.server

DAY = timedelta(days=1)


class Reports:
    """Publishes runs of a report, and collects garbage, on a clock that the test sets."""

    def __init__(self, definition: ReportDefinition, url: str) -> None:
        self.definition, self.url = definition, url
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.store = MemoryStore(clock=lambda: self.now)

    def publish(self, amount: int) -> Manifest:
        """Changes a row in January, and publishes January to March."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("UPDATE events SET amount = %s WHERE id = 1", [amount])
        request = request_of(self.definition)
        outcome = run_report(self.definition, request, session=session_of(self.url), store=self.store)
        return outcome.published.manifest

    def collect(self, day: float) -> CollectionResult:
        self.now = datetime(2026, 1, 1, tzinfo=UTC) + day * DAY
        return collect_garbage({self.definition.name: self.definition}, store=self.store, now=self.now)

    def keys(self) -> set[str]:
        return {entry.key for entry in self.store.list("workbooks/")}


@pytest.fixture
def reports(tmp_path: Path, database: str) -> Reports:
    definition = events_report(tmp_path, source={"freshness": {"probe": "amount"}}, delivery={"keep": "30d"})
    return Reports(definition, database)


def workbooks(manifest: Manifest) -> list[str]:
    return [file.key for file in manifest.files if not file.summaries_only]


def records(keys: list[str]) -> set[str]:
    return {f"{key.rsplit('/', 2)[0]}.json" for key in keys}


def test_shared_workbooks_live_as_long_as_a_run_that_uses_them(reports: Reports) -> None:
    old = workbooks(reports.publish(amount=1))
    reports.now += 10 * DAY
    new_run = reports.publish(amount=2)
    new = workbooks(new_run)
    assert [before == after for before, after in zip(old, new, strict=True)] == [False, True, True]

    first = reports.collect(day=31)
    assert (first.runs, first.workbooks) == (1, 1)
    assert reports.keys() == {*new, *records(new)}
    assert verify_run(new_run.run, store=reports.store).problems == ()

    second = reports.collect(day=41)
    assert (second.runs, second.workbooks) == (1, 3)
    assert reports.keys() == set()


def test_files_that_no_record_references_are_deleted_after_a_day(reports: Reports) -> None:
    manifest = reports.publish(amount=1)
    expected = reports.keys()
    folder = workbooks(manifest)[0].rsplit("/", 2)[0]
    orphans = (f"{folder}/loser/events_2013-01.xlsx", f"workbooks/events/{'0' * 32}/killed/events_2013-01.xlsx")
    for key in orphans:
        reports.store.put(key, b"orphan")
    reports.collect(day=0.5)
    assert reports.keys() == {*expected, *orphans}
    reports.collect(day=2)
    assert reports.keys() == expected


def test_workbooks_of_a_run_that_was_never_published_are_deleted_after_a_day(reports: Reports) -> None:
    manifest = reports.publish(amount=1)
    reports.store.delete([f"reports/events/{manifest.run}/manifest.json"])
    assert reports.collect(day=0.5).workbooks == 0
    assert reports.collect(day=2).workbooks == 3
    assert reports.keys() == set()


def test_record_in_another_format_keeps_its_files(reports: Reports) -> None:
    manifest = reports.publish(amount=1)
    key = workbooks(manifest)[0]
    (record,) = records([key])
    orphan = f"{key.rsplit('/', 2)[0]}/loser/events_2013-01.xlsx"
    reports.store.put(orphan, b"orphan")
    reports.store.put(record, b'{"future": 1}')
    with pytest.raises(IntegrityError, match="another version of Quire"):
        reports.collect(day=2)
    assert {orphan, record, key} <= reports.keys()


def test_unreadable_manifest_keeps_all_workbooks_older_than_itself(reports: Reports) -> None:
    manifest = reports.publish(amount=1)
    before = reports.keys()
    reports.store.put(f"reports/events/{manifest.run}/manifest.json", b'{"future": 1}')
    with pytest.raises(IntegrityError):
        reports.collect(day=2)
    assert reports.keys() == before
