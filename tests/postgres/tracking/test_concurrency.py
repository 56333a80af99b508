"""Writers beside writers, beside compaction, beside runs: nobody waits, no change is missed, no token lies."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from quire.date_range import DatePartition, DateRange
from quire.object_store.s3_store import S3Store
from quire.partitions import freshness
from quire.postgres import SourceTransaction, open_transaction
from quire.postgres.tracking.installation import compact, track
from quire.postgres.tracking.tokens import tracked_tokens
from quire.records.stage_records import StagedPartition
from quire.report.definition import ReportDefinition
from quire.stages import extract
from quire.stages.plan import plan_partitions

from tests.events import request_of, session_of
from tests.postgres.tracking.tables import PARTITIONED, ask, run_sql, tokens, tracked_report

WRITERS, SECONDS, ROUNDS = 3, 4, 3
MAX_PAUSE = 0.3  # so that some tokens stay while others are looked at
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
    definition = tracked_report(tmp_path, partition="week")  # short: a change that is missed in one shows for long
    track(definition, database)
    return definition


def test_writers_of_one_bucket_do_not_wait_for_one_another(report: ReportDefinition, database: str) -> None:
    insert = "INSERT INTO events (id, at) SELECT n, '2013-02-02 12:30' FROM generate_series(1, 500) AS n"
    with psycopg.connect(database) as first, psycopg.connect(database) as second, psycopg.connect(database) as third:
        first.execute(insert)
        for other in (second, third):
            other.execute("SET lock_timeout = '1ms'")
            other.execute(insert)
        waiting = ask(database, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        assert waiting == [(0,)]
        assert ask(database, "SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)]


def test_writer_compaction_and_reader_do_not_wait_for_one_another(report: ReportDefinition, database: str) -> None:
    run_sql(database, *["UPDATE events SET amount = 7"] * 3)
    with psycopg.connect(database) as writer, open_transaction(session_of(database)) as reader:
        writer.execute("SET lock_timeout = '1ms'")
        writer.execute("UPDATE events SET amount = 8")
        before = tracked_tokens(report, _weeks(report), transaction=reader)
        assert compact(f"{database}?options=-clock_timeout%3D1") > 0
        writer.execute("UPDATE events SET amount = 9")
        assert tracked_tokens(report, _weeks(report), transaction=reader) == before
        assert tokens(report, database) == before


def test_compaction_changes_no_token_and_leaves_a_record_a_bucket(report: ReportDefinition, database: str) -> None:
    run_sql(database, *["UPDATE events SET amount = 7", "UPDATE events_new_a SET amount = 8", "TRUNCATE events"] * 2)
    run_sql(database, "INSERT INTO events (id, at) VALUES (1, '2013-02-02')")
    before = tokens(report, database)
    records = ask(database, "SELECT count(*) FROM quire.change_log")[0][0]
    shrunk = compact(database)
    assert tokens(report, database) == before
    left = ask(database, "SELECT count(*), count(DISTINCT (relation, time_column, bucket)) FROM quire.change_log")
    assert left == [(records - shrunk, records - shrunk)]
    assert compact(database) == 0


def test_two_compactions_at_once_change_no_token(report: ReportDefinition, database: str) -> None:
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
    """What the database held under each token: whoever reads a token has the rows of the same snapshot noted."""

    def __init__(self, definition: ReportDefinition, url: str) -> None:
        self._definition, self._url, self._weeks = definition, url, _weeks(definition)
        self.held: dict[tuple[str, str], Rows] = {}

    def note(self, part: DatePartition, token: str, transaction: SourceTransaction) -> None:
        """Notes the rows that a transaction sees; the same token has always the same rows."""
        rows = transaction.fetch(
            "SELECT id, at, amount::text AS amount FROM events "
            f"WHERE at >= '{part.starts_at}' AND at < '{part.stops_at}'"
        )
        seen = sorted((row["id"], row["at"].astimezone(UTC).isoformat(), row["amount"]) for row in rows)
        assert self.held.setdefault((part.key, token), seen) == seen

    def look(self) -> dict[str, str]:
        """Reads all tokens."""
        with open_transaction(session_of(self._url)) as transaction:
            found = tracked_tokens(self._definition, self._weeks, transaction=transaction)
            for part in self._weeks:
                self.note(part, found[part.key], transaction)
        return found


def stored_rows(store: S3Store, staged: StagedPartition) -> Rows:
    table = pq.read_table(io.BytesIO(store.read(staged.object_key) or b""))
    rows = zip(*(table[name].to_pylist() for name in ("id", "at", "amount")), strict=True)
    return sorted((number, at.isoformat(), None if amount is None else str(amount)) for number, at, amount in rows)


def change(chance: random.Random, connection: psycopg.Connection) -> None:
    """Makes one change of any kind; a row that another has locked is left alone."""
    moment = f"2013-0{chance.randint(1, 3)}-{chance.randint(1, 28):02d} {chance.randint(0, 23):02d}:30"
    some = "(SELECT id FROM events ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)"
    leaf = chance.choice(("events_new_a", "events_new_b"))
    statements = {
        f"INSERT INTO events VALUES ({chance.randint(100, 10**9)}, '{moment}', '{chance.choice('ab')}', 1)": 2,
        f"UPDATE events SET amount = {chance.randint(1, 9)} WHERE id = {some}": 2,
        f"UPDATE events SET at = '{moment}', kind = '{chance.choice('ab')}' WHERE id = {some}": 6,
        f"DELETE FROM events WHERE id = {some}": 1,
        f"UPDATE {leaf} SET amount = 3 WHERE id = {some}": 2,
        f"DELETE FROM {leaf} WHERE id = {some}": 1,
    }
    (statement,) = chance.choices(list(statements), list(statements.values()))
    try:
        with connection.transaction():  # a savepoint
            connection.execute(statement)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
        return


def write(url: str, seed: int) -> None:
    """Writes in transactions that end late, some of them in a rollback."""
    chance = random.Random(seed)  # noqa: S311 - a test's own
    with psycopg.connect(url) as connection:
        connection.execute("SET lock_timeout = '300ms'")
        connection.commit()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for _ in range(chance.randint(1, 2)):
                change(chance, connection)
            time.sleep(chance.random() * MAX_PAUSE)
            connection.rollback() if chance.random() < 0.3 else connection.commit()


def repeat(action: Callable[[], object], over: threading.Event) -> int:
    count = 0
    while not over.is_set() or not count:
        action()
        count += 1
    return count


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_is_stored_is_what_the_database_held_whatever_writers_do(
    report: ReportDefinition, database: str, bucket: S3Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    ledger, over, staged = Ledger(report, database), threading.Event(), list[StagedPartition]()
    ask_tokens = freshness.freshness_tokens

    def noted_tokens(*arguments: Any, transaction: SourceTransaction) -> dict[str, str]:
        found = ask_tokens(*arguments, transaction=transaction)
        for part in arguments[2]:
            ledger.note(part, found[part.key], transaction)
        return found

    def store_all() -> None:
        session = session_of(database)
        planned = plan_partitions(report, request_of(report), session=session, store=bucket)
        staged.extend(planned.cached)
        for group in planned.groups:
            staged.extend(extract.extract_partitions(report, planned.plan, group, session=session, store=bucket))

    monkeypatch.setattr(freshness, "freshness_tokens", noted_tokens)
    with ThreadPoolExecutor(WRITERS + 3) as pool:
        others = [pool.submit(repeat, action, over) for action in (store_all, ledger.look, lambda: compact(database))]
        writers = [pool.submit(write, database, seed * 1000 + number) for number in range(WRITERS)]
        try:
            for writer in writers:
                writer.result()
        finally:
            over.set()
        assert all(other.result() for other in others)
    quiet = ledger.look()
    store_all()
    assert {part.key: part.freshness_token for part in staged[-len(quiet) :]} == quiet
    for part in staged:
        assert stored_rows(bucket, part) == ledger.held[part.key, part.freshness_token], part.key
