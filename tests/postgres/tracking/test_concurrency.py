"""Concurrent writers, compaction and runs never wait for each other.

No change is missed, and equal tokens imply equal rows.
"""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from quire.date_range import DatePartition, DateRange
from quire.object_store.s3_store import S3Store
from quire.postgres import SourceTransaction, open_transaction
from quire.postgres.tracking.installation import compact, track
from quire.postgres.tracking.tokens import tracked_tokens
from quire.record_types.stage_records import StagedPartition
from quire.report.definition import ReportDefinition
from quire.stages import extract
from quire.stages.plan import plan_partitions

from tests.events import request_of, session_of
from tests.postgres.tracking.observed import observed_session
from tests.postgres.tracking.tables import PARTITIONED, ask, run_sql, tokens, tracked_report

pytestmark = pytest.mark.server

WRITERS, SECONDS, ROUNDS = 3, 4, 3
MAX_PAUSE = 0.3  # long enough that some tokens do not change between two reads
Rows = list[tuple[int, str, str | None]]


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
        before = tracked_tokens(report, _weeks(report), transaction=reader)
        assert compact(f"{database}?options=-clock_timeout%3D1") > 0
        writer.execute("UPDATE events SET amount = 9")
        assert tracked_tokens(report, _weeks(report), transaction=reader) == before
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


def _weeks(definition: ReportDefinition) -> list[DatePartition]:
    request = request_of(definition)
    days = DateRange(start=request.start, end=request.end, timezone=request.timezone)
    return list(days.partitions(definition.partition))


class Ledger:
    """Records the rows for each freshness token, from the snapshot in which the token was read."""

    def __init__(self, definition: ReportDefinition, url: str) -> None:
        self._definition, self._url, self._weeks = definition, url, _weeks(definition)
        self.rows: dict[tuple[str, str], Rows] = {}

    def record(self, part: DatePartition, token: str, transaction: SourceTransaction) -> None:
        """Records a partition's rows from a transaction's snapshot, and checks that equal tokens imply equal rows."""
        rows = transaction.fetch(
            "SELECT id, at, amount::text AS amount FROM events "
            f"WHERE at >= '{part.starts_at}' AND at < '{part.stops_at}'"
        )
        visible = sorted((row["id"], row["at"].astimezone(UTC).isoformat(), row["amount"]) for row in rows)
        assert self.rows.setdefault((part.key, token), visible) == visible

    def read_tokens(self) -> dict[str, str]:
        """Reads and records every partition's token."""
        with open_transaction(session_of(self._url)) as transaction:
            return self.record_all(transaction)

    def record_all(self, transaction: SourceTransaction) -> dict[str, str]:
        """Records every partition's token and rows, as read in a transaction's snapshot."""
        tokens_by_key = tracked_tokens(self._definition, self._weeks, transaction=transaction)
        for part in self._weeks:
            self.record(part, tokens_by_key[part.key], transaction)
        return tokens_by_key


def stored_rows(store: S3Store, staged: StagedPartition) -> Rows:
    table = pq.read_table(io.BytesIO(store.read(staged.object_key) or b""))
    rows = zip(*(table[name].to_pylist() for name in ("id", "at", "amount")), strict=True)
    return sorted((number, at.isoformat(), None if amount is None else str(amount)) for number, at, amount in rows)


def change(rng: random.Random, connection: psycopg.Connection) -> None:
    """Makes one random change. Rows that another writer has locked are skipped."""
    timestamp = f"2013-0{rng.randint(1, 3)}-{rng.randint(1, 28):02d} {rng.randint(0, 23):02d}:30"
    some = "(SELECT id FROM events ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)"
    leaf = rng.choice(("events_new_a", "events_new_b"))
    statements = {
        f"INSERT INTO events VALUES ({rng.randint(100, 10**9)}, '{timestamp}', '{rng.choice('ab')}', 1)": 2,
        f"UPDATE events SET amount = {rng.randint(1, 9)} WHERE id = {some}": 2,
        f"UPDATE events SET at = '{timestamp}', kind = '{rng.choice('ab')}' WHERE id = {some}": 6,
        f"DELETE FROM events WHERE id = {some}": 1,
        f"UPDATE {leaf} SET amount = 3 WHERE id = {some}": 2,
        f"DELETE FROM {leaf} WHERE id = {some}": 1,
    }
    (statement,) = rng.choices(list(statements), list(statements.values()))
    try:
        with connection.transaction():  # a savepoint
            connection.execute(statement)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
        return


def write(url: str, seed: int) -> None:
    """Writes rows in long transactions; some transactions are rolled back."""
    rng = random.Random(seed)  # noqa: S311 - a fixed sequence
    with psycopg.connect(url) as connection:
        connection.execute("SET lock_timeout = '300ms'")
        connection.commit()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for _ in range(rng.randint(1, 2)):
                change(rng, connection)
            time.sleep(rng.random() * MAX_PAUSE)
            connection.rollback() if rng.random() < 0.3 else connection.commit()


def repeat(action: Callable[[], object], stopped: threading.Event) -> int:
    count = 0
    while not stopped.is_set() or not count:
        action()
        count += 1
    return count


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_stored_rows_match_their_token_under_concurrent_writes(
    report: ReportDefinition, database: str, bucket: S3Store, seed: int
) -> None:
    ledger, stopped, staged = Ledger(report, database), threading.Event(), list[StagedPartition]()

    def store_all() -> None:
        session = observed_session(session_of(database), before_stream=ledger.record_all)
        planned = plan_partitions(report, request_of(report), session=session, store=bucket)
        staged.extend(planned.cached)
        for group in planned.groups:
            staged.extend(extract.extract_partitions(report, planned.plan, group, session=session, store=bucket))

    with ThreadPoolExecutor(WRITERS + 3) as pool:
        others = [
            pool.submit(repeat, action, stopped)
            for action in (store_all, ledger.read_tokens, lambda: compact(database))
        ]
        writers = [pool.submit(write, database, seed * 1000 + number) for number in range(WRITERS)]
        try:
            for writer in writers:
                writer.result()
        finally:
            stopped.set()
        assert all(other.result() for other in others)
    final = ledger.read_tokens()
    store_all()
    assert {part.key: part.freshness_token for part in staged[-len(final) :]} == final
    for part in staged:
        assert stored_rows(bucket, part) == ledger.rows[part.key, part.freshness_token], part.key
