"""``track`` and ``untrack`` have one time limit for all locks, and acquire locks that block writers last."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.errors import SourceUnavailableError
from quire.postgres.tracking.installation import track, untrack
from quire.report.definition import ReportDefinition

from tests.events import fill_events
from tests.postgres.tracking.tables import EVENTS, ask, run_sql, tracked_report

pytestmark = pytest.mark.server

LIMIT_SECONDS = 2
PAUSE_SECONDS = 1.5  # one pause is shorter than the time limit, but two are longer
TABLES = ("events", "kinds", "notes")
TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'quire%'"


@pytest.fixture
def report(tmp_path: Path, fresh_database: str) -> ReportDefinition:
    fill_events(fresh_database)
    run_sql(fresh_database, "CREATE TABLE kinds (kind text)", "CREATE TABLE notes (note text)")
    return tracked_report(tmp_path, tables=[EVENTS, "kinds", "notes"])


def wait_until_blocked(work: Future[Any], url: str) -> None:
    while not work.done() and ask(url, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]:
        time.sleep(0.02)


def test_track_waits_for_all_locks_within_one_limit(report: ReportDefinition, fresh_database: str) -> None:
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        writers = [stack.enter_context(psycopg.connect(fresh_database)) for _ in TABLES]
        for writer, table in zip(writers, TABLES, strict=True):
            writer.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE".encode())
        tracking = pool.submit(track, report, fresh_database, lock_seconds=LIMIT_SECONDS)
        for writer in writers:
            wait_until_blocked(tracking, fresh_database)
            time.sleep(PAUSE_SECONDS)
            writer.rollback()
        with pytest.raises(SourceUnavailableError, match="nothing was changed: try again"):
            tracking.result()
    assert ask(fresh_database, TRIGGERS) == [(0,)]
    assert len(track(report, fresh_database)) == len(TABLES)


def test_untrack_waiting_for_log_reader_blocks_no_writer(report: ReportDefinition, fresh_database: str) -> None:
    track(report, fresh_database)
    with ThreadPoolExecutor() as pool, psycopg.connect(fresh_database) as reader:
        reader.execute("SELECT count(*) FROM quire.readable_tables")
        removing = pool.submit(untrack, report.name, fresh_database)
        wait_until_blocked(removing, fresh_database)
        run_sql(fresh_database, "SET lock_timeout = '1s'", "INSERT INTO kinds VALUES ('new')")
        reader.rollback()
        assert len(removing.result()) == len(TABLES)
    assert ask(fresh_database, TRIGGERS) == [(0,)]


def test_untrack_last_report_waits_for_running_statement(report: ReportDefinition, fresh_database: str) -> None:
    """The statement's trigger writes to the log when the statement ends, so locking the log first would deadlock."""
    track(report, fresh_database)
    slow = "INSERT INTO kinds SELECT 'slow' FROM pg_sleep(2)"
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(run_sql, fresh_database, slow)
        while ask(fresh_database, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == [(0,)]:
            time.sleep(0.02)
        assert len(untrack(report.name, fresh_database)) == len(TABLES)
        writing.result()
    assert ask(fresh_database, "SELECT count(*) FROM kinds") == [(1,)]
