"""Runs of tracked reports read changed partitions again, and reject rows that do not match the partition's token."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.errors import SourceUnavailableError
from quire.object_store.s3_store import S3Store
from quire.pipeline import PipelineResult, run_report
from quire.postgres import SourceSession, SourceTransaction
from quire.postgres.tracking.installation import track
from quire.record_types.stage_records import PlannedRun, StagedPartition
from quire.report.definition import ReportDefinition
from quire.stages.extract import extract_partitions
from quire.stages.plan import plan_partitions

from tests.events import fill_events, request_of, session_of
from tests.postgres.tracking.observed import observed_session, reads_tokens
from tests.postgres.tracking.tables import EVENTS, PARTITIONED, run_sql, tracked_report

pytestmark = pytest.mark.server

ALL = ["2013-01", "2013-02", "2013-03"]
DAY_EDGE = re.compile(r"'\d{4}-\d\d-\d\d \d\d:00:00'")  # a partition's bound in the query for tokens


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    run_sql(fresh_database, "CREATE TABLE kinds (kind text, name text)")
    return fresh_database


@pytest.fixture
def report(tmp_path: Path, database: str) -> ReportDefinition:
    definition = tracked_report(tmp_path, tables=[EVENTS, "kinds"])
    track(definition, database)
    return definition


def run(definition: ReportDefinition, url: str, store: S3Store, *, force: bool = False) -> PipelineResult:
    request = replace(request_of(definition), force=force)
    return run_report(definition, request, session=session_of(url), store=store)


def read(outcome: PipelineResult) -> list[str]:
    return [part.key for part in outcome.partitions if not part.cache_hit]


def test_run_reads_only_changed_partitions(report: ReportDefinition, database: str, bucket: S3Store) -> None:
    first = run(report, database, bucket)
    assert (read(first), first.published.already_published) == (ALL, False)
    again = run(report, database, bucket)
    assert (read(again), again.published.already_published) == ([], True)
    run_sql(database, "UPDATE events SET amount = 7 WHERE id = 6")
    after = run(report, database, bucket)
    assert (read(after), after.published.already_published) == (["2013-03"], False)
    assert after.published.manifest.warnings == ()
    run_sql(database, "INSERT INTO kinds VALUES ('a', 'A')")
    assert read(run(report, database, bucket)) == ALL
    assert read(run(report, database, bucket)) == []


def test_run_forced_reads_every_partition(report: ReportDefinition, database: str, bucket: S3Store) -> None:
    run(report, database, bucket)
    forced = run(report, database, bucket, force=True)
    assert (read(forced), forced.published.already_published) == (ALL, False)


def test_run_detects_change_that_commits_late(report: ReportDefinition, database: str, bucket: S3Store) -> None:
    with psycopg.connect(database) as late:
        late.execute("UPDATE events SET amount = 7 WHERE id = 3")
        run_sql(database, "UPDATE events SET amount = 8 WHERE id IN (4, 6)")
        assert read(run(report, database, bucket)) == ALL
        late.commit()
    assert read(run(report, database, bucket)) == ["2013-02"]


def staged(
    definition: ReportDefinition, url: str, store: S3Store, *, session: SourceSession | None = None
) -> tuple[StagedPartition, ...]:
    """Plans a run and extracts its partitions; extract uses ``session`` if it is given."""
    planned = plan_partitions(definition, request_of(definition), session=session_of(url), store=store)
    return _extract(definition, planned, session or session_of(url), store)


def _extract(
    definition: ReportDefinition, planned: PlannedRun, session: SourceSession, store: S3Store, **options: float
) -> tuple[StagedPartition, ...]:
    missing = [part for group in planned.groups for part in group]
    return extract_partitions(definition, planned.plan, missing, session=session, store=store, **options)


@pytest.mark.parametrize(("max_seconds", "snapshots"), [(60, 1), (0, 3)], ids=["young", "old"])
def test_extract_reads_tokens_once_per_snapshot(
    report: ReportDefinition, database: str, bucket: S3Store, max_seconds: int, snapshots: int
) -> None:
    session = session_of(database)
    planned = plan_partitions(report, request_of(report), session=session, store=bucket)
    session = session.with_own_log()
    parts = _extract(report, planned, session, bucket, max_snapshot_seconds=max_seconds)
    assert [part.key for part in parts] == ALL
    assert len({part.snapshot_at for part in parts}) == snapshots
    reading = [entry.calls for entry in session.statements.statements() if "readable_changes" in entry.sql]
    assert sum(reading) == snapshots


@pytest.mark.parametrize(
    ("max_seconds", "expected"),
    [(60, [8, 8, 8]), (0, [*[8] * 17, 7, 6, 5, 4, 3, 2, 1])],
    ids=["young", "old"],
)
def test_extract_reads_tokens_of_next_partitions_only(
    tmp_path: Path, database: str, bucket: S3Store, max_seconds: int, expected: list[int]
) -> None:
    """Even if each partition needs a new snapshot, a run must not reread every partition's token each time."""
    report = tracked_report(tmp_path, partition="day")
    track(report, database)
    session = session_of(database)
    planned = plan_partitions(report, request_of(report, "2013-03-01", "2013-03-24"), session=session, store=bucket)
    counts: list[int] = []

    def count_partitions(sql: str, rows: list[dict[str, Any]]) -> None:
        if reads_tokens(sql):
            counts.append(len(set(DAY_EDGE.findall(sql))) - 1)

    session = observed_session(session, after_query=count_partitions)
    parts = _extract(report, planned, session, bucket, max_snapshot_seconds=max_seconds)
    assert [part.rows for part in parts if part.rows] == [2]
    assert counts == expected


@pytest.mark.parametrize(
    ("change", "is_rewritten"),
    [
        ("TRUNCATE events", True),
        ("ALTER TABLE events ALTER amount TYPE numeric(12,2) USING amount + 1", True),
        ("UPDATE events SET amount = 7", False),
        ("DELETE FROM events", False),
    ],
)
def test_extract_table_rewritten_after_token_stores_nothing(
    report: ReportDefinition, database: str, bucket: S3Store, change: str, is_rewritten: bool
) -> None:
    """TRUNCATE affects even older snapshots.

    If it ran after the token was read but before the rows were, extract would store an empty partition with the old
    token.
    """
    changes: list[str] = []

    def change_after_the_token(sql: str, rows: list[dict[str, Any]]) -> None:
        if reads_tokens(sql):
            run_sql(database, change)
            changes.append(change)

    session = observed_session(session_of(database), after_query=change_after_the_token)
    if is_rewritten:
        with pytest.raises(SourceUnavailableError, match=r"2013-01: public\.events was emptied, rewritten or"):
            staged(report, database, bucket, session=session)
        assert list(bucket.list("partitions/")) == []
    else:
        assert staged(report, database, bucket, session=session)[0].rows == 2
    assert changes == [change]


@pytest.mark.parametrize("change", ["DETACH PARTITION events_old", "DETACH PARTITION events_old CONCURRENTLY"])
def test_extract_partition_detached_after_token_raises(
    tmp_path: Path, fresh_database: str, bucket: S3Store, change: str
) -> None:
    run_sql(fresh_database, *PARTITIONED.format(kind="timestamptz").split(";"))
    if "CONCURRENTLY" in change:  # PostgreSQL does not allow CONCURRENTLY if there is a default partition
        run_sql(fresh_database, "ALTER TABLE events_new DETACH PARTITION events_new_b")
    report = tracked_report(tmp_path)
    track(report, fresh_database)

    def detach_after_the_token(sql: str, rows: list[dict[str, Any]]) -> None:
        if not reads_tokens(sql):
            return
        with psycopg.connect(fresh_database, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '2s'")
            # the partition is already detached, but the statement waits for older snapshots
            with suppress(psycopg.errors.LockNotAvailable):
                connection.execute(f"ALTER TABLE events {change}".encode())

    session = observed_session(session_of(fresh_database), after_query=detach_after_the_token)
    with pytest.raises(SourceUnavailableError, match="was emptied, rewritten or repartitioned"):
        staged(report, fresh_database, bucket, session=session)
    assert list(bucket.list("partitions/")) == []


def test_extract_change_during_read_makes_partition_stale(
    report: ReportDefinition, database: str, bucket: S3Store
) -> None:
    changes = iter(["DELETE FROM events WHERE id = 1"])

    def change_first(transaction: SourceTransaction) -> None:
        run_sql(database, *islice(changes, 1))

    session = observed_session(session_of(database), before_stream=change_first)
    before = staged(report, database, bucket, session=session)
    assert next(changes, None) is None
    assert [part.rows for part in before] == [2, 1, 3]
    after = staged(report, database, bucket)
    assert [(part.key, part.rows, part.cache_hit) for part in after] == [(before[0].key, 1, False)]
