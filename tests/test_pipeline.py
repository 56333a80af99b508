"""Runs the stages in one process, and checks their order, their resource usage and cancellation after a failure."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import psycopg
import pytest
from quire.errors import QueryError
from quire.object_store.s3_store import S3Store
from quire.pipeline import PipelineResult, run_report
from quire.report.definition import ReportDefinition
from quire.stage_threads import MAX_PARALLEL_CELLS

from tests.events import DEFINITION, SQL, events_report, fill_events, request_of, session_of

pytestmark = pytest.mark.server

STAGES = ["plan", "extract", "layout", "aggregate", "render", "publish"]
LONGER_THAN_ANY_TEST = 120  # s
LARGE = MAX_PARALLEL_CELLS // len(DEFINITION["columns"]) + 1  # rows of a workbook that is not rendered in parallel


def sleepy_sql(seconds: int, *, others: str = "0") -> str:
    """Returns a query for events that sleeps in January, and evaluates ``others`` in every other month."""
    waits = f"CASE WHEN %(start)s < '2013-02-01' THEN (SELECT 0 FROM pg_sleep({seconds})) ELSE {others} END"
    return SQL.replace("WHERE", f"WHERE ({waits}) = 0 AND")


def run(definition: ReportDefinition, url: str, store: S3Store) -> PipelineResult:
    return run_report(definition, request_of(definition), session=session_of(url, seconds=300), store=store)


def test_partitions_and_files_are_in_order_for_any_order_of_extracts(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_events(fresh_database)
    outcome = run(events_report(tmp_path, sql=sleepy_sql(2)), fresh_database, bucket)
    months = ["2013-01", "2013-02", "2013-03"]
    assert [part.key for part in outcome.partitions] == months
    assert [file.name for file in outcome.published.manifest.files[:-1]] == [f"events_{key}.xlsx" for key in months]


def test_manifest_contains_the_usage_and_statements_of_each_stage(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_events(fresh_database)
    usage = run(events_report(tmp_path), fresh_database, bucket).published.manifest.usage
    assert [task.stage for task in usage] == STAGES
    plan, extract = usage[:2]
    # Plan reads all of the date range's tokens, and extract reads one partition's token. Both query the source's
    # identity.
    calls = [
        sum(statement.calls for statement in task.statements if "system_identifier" in statement.sql)
        for task in (plan, extract)
    ]
    assert calls == [1, 3]


def test_failed_extract_cancels_the_others(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, sql=sleepy_sql(LONGER_THAN_ANY_TEST, others="1 / (id - id)"))
    began = time.monotonic()
    with pytest.raises(QueryError, match="division by zero"):
        run(definition, fresh_database, bucket)
    assert time.monotonic() - began < LONGER_THAN_ANY_TEST
    assert [entry.key for entry in bucket.list("partitions/")] == []


def test_workbooks_are_in_order_and_large_ones_are_rendered_alone(
    tmp_path: Path, fresh_database: str, bucket: S3Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "quire.stages.render")
    fill_events(fresh_database)
    many = "INSERT INTO events SELECT n + 1000, '2013-01-15', 'a' FROM generate_series(1, %s) AS n"
    with psycopg.connect(fresh_database) as connection:  # this workbook takes longer than all others
        connection.execute(many, [LARGE])
    progress: list[tuple[int, int]] = []

    def record_progress(stage: str, done: int, total: int) -> None:
        if stage == "render":
            progress.append((done, total))

    definition, session = events_report(tmp_path, partition="week"), session_of(fresh_database)
    outcome = run_report(definition, request_of(definition), session=session, store=bucket, progress=record_progress)
    files = outcome.published.manifest.files[:-1]
    assert len(files) == 13
    assert [file.name for file in files] == sorted(file.name for file in files)
    assert files[2].rows == LARGE
    threads = {record.threadName for record in caplog.records if f"/{files[2].name}: " in record.getMessage()}
    assert threads == {threading.main_thread().name}
    assert progress == [(done, len(files)) for done in range(len(files) + 1)]


def test_interrupted_render_leaves_no_file_without_a_commit_record(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_events(fresh_database)

    def interrupt(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("render", 1):
            raise KeyboardInterrupt

    definition = events_report(tmp_path, partition="week", source={"freshness": {"probe": "id"}})
    session = session_of(fresh_database)
    with pytest.raises(KeyboardInterrupt):
        run_report(definition, request_of(definition), session=session, store=bucket, progress=interrupt)
    keys = [entry.key for entry in bucket.list("workbooks/")]
    files = [key for key in keys if key.endswith(".xlsx")]
    assert 1 <= len(files) < 13
    assert len(files) == sum(key.endswith(".json") for key in keys)
