"""Concurrent writers, compaction and runs never wait for each other.

No change is missed, and equal tokens imply equal rows.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from quire.object_store.s3_store import S3Store
from quire.postgres import open_transaction
from quire.postgres.tracking.installation import compact, track
from quire.postgres.tracking.tokens import tracked_tokens
from quire.report.definition import ReportDefinition

from tests.events import session_of
from tests.postgres.concurrent_writes import store_during_writes, weeks_of
from tests.postgres.tracking.tables import PARTITIONED, ask, run_sql, tokens, tracked_report

pytestmark = pytest.mark.server

ROUNDS = 3


@pytest.fixture
def database(fresh_database: str) -> str:
    run_sql(
        fresh_database,
        PARTITIONED.format(kind="timestamptz"),
        "INSERT INTO events SELECT n, '2013-01-01'::timestamptz + n * interval '1 day', 'a', 0 "
        "FROM generate_series(4, 89) AS n",
    )
    return fresh_database


@pytest.fixture
def report(tmp_path: Path, database: str) -> ReportDefinition:
    definition = tracked_report(tmp_path, partition="week")  # longer partitions would hide missed changes
    track(definition, database)
    return definition


def test_writers_to_one_bucket_do_not_block_each_other(report: ReportDefinition, database: str) -> None:
    insert = "INSERT INTO events (id, at) SELECT n, '2013-02-02 12:30' FROM generate_series(1, 500) AS n"
    with psycopg.connect(database) as first, psycopg.connect(database) as second, psycopg.connect(database) as third:
        first.execute(insert)
        for other in (second, third):
            other.execute("SET lock_timeout = '1ms'")
            other.execute(insert)
        waiting = ask(database, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        assert waiting == [(0,)]
        assert ask(database, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]


def test_writer_compaction_and_reader_do_not_block_each_other(report: ReportDefinition, database: str) -> None:
    run_sql(database, *["UPDATE events SET amount = 7"] * 3)
    with psycopg.connect(database) as writer, open_transaction(session_of(database)) as reader:
        writer.execute("SET lock_timeout = '1ms'")
        writer.execute("UPDATE events SET amount = 8")
        before = tracked_tokens(report, weeks_of(report), transaction=reader)
        assert compact(f"{database}?options=-clock_timeout%3D1") > 0
        writer.execute("UPDATE events SET amount = 9")
        assert tracked_tokens(report, weeks_of(report), transaction=reader) == before
        assert tokens(report, database) == before


def test_compact_keeps_tokens_and_leaves_one_record_per_bucket(report: ReportDefinition, database: str) -> None:
    run_sql(database, *["UPDATE events SET amount = 7", "UPDATE events_new_a SET amount = 8", "TRUNCATE events"] * 2)
    run_sql(database, "INSERT INTO events (id, at) VALUES (1, '2013-02-02')")
    before = tokens(report, database)
    records = ask(database, "SELECT count(*) FROM quire.change_log")[0][0]
    removed = compact(database)
    assert tokens(report, database) == before
    left = ask(database, "SELECT count(*), count(DISTINCT (relation, time_column, bucket)) FROM quire.change_log")
    assert left == [(records - removed, records - removed)]
    assert compact(database) == 0


def test_compact_concurrently_keeps_tokens(report: ReportDefinition, database: str) -> None:
    for _ in range(5):
        run_sql(database, *["UPDATE events SET amount = 7"] * 4)
        before = tokens(report, database)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(compact, [database] * 3))
        assert tokens(report, database) == before


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_stored_rows_match_their_token_under_concurrent_writes(
    report: ReportDefinition, database: str, bucket: S3Store, seed: int
) -> None:
    store_during_writes(
        report, database, bucket, read_tokens=tracked_tokens, maintenance=[lambda: compact(database)], seed=seed
    )
