"""Probed partitions are read again only after their rows have changed; a change during a run causes a warning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.errors import DefinitionError
from quire.object_store.s3_store import S3Store
from quire.pipeline import PipelineResult, run_report
from quire.report.definition import ReportDefinition
from quire.stages.plan import plan_partitions

from tests.aggregated_runs import aggregate_run
from tests.events import events_report, fill_events, request_of, session_of
from tests.workbooks import open_workbook, sheet_rows

pytestmark = pytest.mark.server

SQL = """\
SELECT id, at::{kind} AS at, kind, amount, changed::{probe} AS changed FROM public.events
WHERE at >= %(start)s AND at < %(end)s
"""
PROBED: dict[str, Any] = {"source": {"freshness": {"probe": "changed"}}, "columns": [], "summaries": []}


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    run_sql(fresh_database, "ALTER TABLE events ADD changed timestamptz DEFAULT '2013-04-01 00:00:00.000001 UTC'")
    return fresh_database


def run_sql(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)


def probed_report(include: Path, *, kind: str = "timestamptz", probe: str = "timestamptz", **changes: Any) -> Any:
    return events_report(include, sql=SQL.format(kind=kind, probe=probe), **{**PROBED, **changes})


def run(definition: ReportDefinition, url: str, store: S3Store, *, force: bool = False) -> PipelineResult:
    request = replace(request_of(definition), force=force)
    return run_report(definition, request, session=session_of(url), store=store)


def read(outcome: PipelineResult) -> list[str]:
    return [part.key for part in outcome.partitions if not part.cache_hit]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
@pytest.mark.parametrize("probe", ["timestamptz", "timestamp"])
def test_only_partitions_with_changed_rows_are_read_again(
    tmp_path: Path, database: str, bucket: S3Store, kind: str, probe: str
) -> None:
    definition = probed_report(tmp_path, kind=kind, probe=probe)
    assert read(run(definition, database, bucket)) == ["2013-01", "2013-02", "2013-03"]
    again = run(definition, database, bucket)
    assert (read(again), again.published.already_published) == ([], True)
    run_sql(database, "UPDATE events SET amount = 7, changed = changed + interval '1 microsecond' WHERE id = 6")
    after = run(definition, database, bucket)
    assert (read(after), after.published.already_published) == (["2013-03"], False)


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ("DELETE FROM events WHERE id = 3", ["2013-02"]),
        ("INSERT INTO events VALUES (9, '2013-02-03 12:00 America/New_York')", ["2013-02"]),
        ("INSERT INTO events (id, at, changed) VALUES (9, '2013-02-03 12:00 America/New_York', NULL)", ["2013-02"]),
        ("UPDATE events SET at = at + interval '40 days' WHERE id = 1", ["2013-01", "2013-02"]),
        ("UPDATE events SET changed = NULL WHERE id = 1", ["2013-01"]),
        ("UPDATE events SET changed = 'infinity' WHERE id = 1", ["2013-01"]),
        ("BEGIN; DELETE FROM events; ROLLBACK", []),
    ],
)
def test_change_of_any_kind_makes_its_partitions_stale(
    tmp_path: Path, database: str, bucket: S3Store, change: str, stale: list[str]
) -> None:
    definition = probed_report(tmp_path)
    run(definition, database, bucket)
    run_sql(database, change)
    assert read(run(definition, database, bucket)) == stale


def test_probe_of_a_version_number_detects_changes(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = events_report(tmp_path, **{**PROBED, "source": {"freshness": {"probe": "amount"}}})
    run(definition, database, bucket)
    run_sql(database, "UPDATE events SET amount = 7 WHERE id = 6")
    assert read(run(definition, database, bucket)) == ["2013-03"]


def test_forced_run_reads_all_partitions_again(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = probed_report(tmp_path)
    run(definition, database, bucket)
    forced = run(definition, database, bucket, force=True)
    assert (len(read(forced)), forced.published.already_published) == (3, False)


def test_rows_changed_after_the_read_cause_a_warning(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = probed_report(tmp_path)
    staged = aggregate_run(definition, database, bucket)
    run_sql(database, "UPDATE events SET amount = 7, changed = now() WHERE id IN (3, 6)")
    manifest = staged.publish(staged.render(), database).manifest
    warning = "Rows changed at the source after they were read: 2013-02, 2013-03. Run the report again."
    assert manifest.warnings == (warning,)
    about = sheet_rows(open_workbook(bucket, manifest.files[-1].key), "About")
    assert any(warning in row for row in about)


def test_source_unreachable_after_the_read_causes_a_warning(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = probed_report(tmp_path)
    staged = aggregate_run(definition, database, bucket)
    unavailable = "postgresql://someone@127.0.0.1:9/nowhere"
    (warning,) = staged.publish(staged.render(), unavailable).manifest.warnings
    reason = "Quire could not check whether rows changed at the source after they were read"
    assert warning.startswith(f"{reason}: PostgreSQL at 127.0")


@pytest.mark.parametrize("freshness", ["always", {"probe": "changed"}])
def test_unchanged_rows_cause_no_warning(tmp_path: Path, database: str, bucket: S3Store, freshness: Any) -> None:
    definition = probed_report(tmp_path, source={"freshness": freshness})
    staged = aggregate_run(definition, database, bucket)
    if freshness == "always":
        run_sql(database, "UPDATE events SET amount = 7, changed = now()")
    assert staged.publish(staged.render(), database).manifest.warnings == ()


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        ("chnged", "source.freshness.probe: the query returns no column 'chnged'; did you mean changed"),
        ("kind", "source.freshness.probe: kind is of type text: it must be a time or a number"),
    ],
)
def test_probe_that_cannot_be_summed_is_rejected(
    tmp_path: Path, database: str, bucket: S3Store, probe: str, reason: str
) -> None:
    definition = probed_report(tmp_path, source={"freshness": {"probe": probe}})
    with pytest.raises(DefinitionError, match=reason):
        plan_partitions(definition, request_of(definition), session=session_of(database), store=bucket)
