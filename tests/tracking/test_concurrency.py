"""Writers beside writers, beside compaction, beside runs: nobody waits, no change is missed, no token lies."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from quire.artifacts import RunPlan, StagedPartition
from quire.definition import ReportDefinition
from quire.object_store import ObjectStore
from quire.source import open_transaction
from quire.stages.extract import extract_partitions
from quire.stages.plan import plan_partitions
from quire.tracking import compact, track, tracked_tokens

from tests.events import request_of, session_of
from tests.tracking.tables import PARTITIONED, ask, run_sql, tokens, tracked_report

WRITERS, STEPS, ROUNDS = 3, 8, 4
MONTHS = ("2013-01", "2013-02", "2013-03")
Rows = list[tuple[int, str, str | None]]


@pytest.fixture
def database(fresh_database: str) -> str:
    run_sql(fresh_database, PARTITIONED.format(kind="timestamptz"), "CREATE INDEX ON events (id)")
    return fresh_database


@pytest.fixture
def report(tmp_path: Path, database: str) -> ReportDefinition:
    definition = tracked_report(tmp_path)
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
        before = tracked_tokens(report, _months(report, database), transaction=reader)
        assert compact(f"{database}?options=-clock_timeout%3D1") > 0
        writer.execute("UPDATE events SET amount = 9")
        assert tracked_tokens(report, _months(report, database), transaction=reader) == before
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


def _months(definition: ReportDefinition, url: str) -> list[object]:
    plan = plan_partitions(definition, request_of(definition), session=session_of(url))
    return [part for group in plan.groups for part in group]


class Log:
    """What the database held under each token, told by transactions that wrote nothing."""

    def __init__(self, definition: ReportDefinition, url: str) -> None:
        self._definition, self._url = definition, url
        self.held: dict[tuple[str, str], Rows] = {}

    def look(self) -> dict[str, str]:
        """Reads tokens and rows of one snapshot; the same token has always the same rows."""
        plan = plan_partitions(self._definition, request_of(self._definition), session=session_of(self._url))
        partitions = [part for group in plan.groups for part in group]
        with open_transaction(session_of(self._url)) as transaction:
            found = tracked_tokens(self._definition, partitions, transaction=transaction)
            for part in partitions:
                rows = transaction.fetch(
                    "SELECT id, at::text AS at, amount::text AS amount FROM events "
                    f"WHERE at >= '{part.start_instant}' AND at < '{part.stop_instant}' ORDER BY 1, 2, 3"
                )
                seen = [(row["id"], row["at"], row["amount"]) for row in rows]
                assert self.held.setdefault((part.key, found[part.key]), seen) == seen
        return found


def stored_rows(store: ObjectStore, staged: StagedPartition) -> Rows:
    table = pq.read_table(_file(store, staged.object_key))
    rows = zip(*(table[name].to_pylist() for name in ("id", "at", "amount")), strict=True)
    return sorted((number, at.isoformat(), None if amount is None else str(amount)) for number, at, amount in rows)


def _file(store: ObjectStore, key: str) -> object:
    import io

    return io.BytesIO(store.read(key) or b"")


def database_rows(url: str, staged: StagedPartition) -> Rows:
    rows = ask(
        url,
        f"SELECT id, at, amount::text FROM events WHERE at >= '{staged.start} America/New_York' "
        f"AND at < '{staged.stop} America/New_York'",
    )
    return sorted((number, at.isoformat(), amount) for number, at, amount in rows)


def change(chance: random.Random, connection: psycopg.Connection) -> None:
    """Makes one change of any kind; a row that another has locked is left alone."""
    moment = f"2013-0{chance.randint(1, 3)}-{chance.randint(1, 28):02d} {chance.randint(0, 23):02d}:30"
    some = "(SELECT id FROM events ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)"
    leaf = chance.choice(("events_new_a", "events_new_b"))
    statement = chance.choice(
        (
            f"INSERT INTO events VALUES ({chance.randint(1, 10**9)}, '{moment}', 'a', 1)",
            f"INSERT INTO events VALUES ({chance.randint(1, 10**9)}, '{moment}', 'b', 2)",
            f"UPDATE events SET amount = {chance.randint(1, 9)} WHERE id = {some}",
            f"UPDATE events SET at = '{moment}', kind = '{chance.choice('ab')}' WHERE id = {some}",
            f"DELETE FROM events WHERE id = {some}",
            f"UPDATE {leaf} SET amount = 3 WHERE id = {some}",
            f"DELETE FROM {leaf} WHERE id = {some}",
        )
    )
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
        for _ in range(STEPS):
            for _ in range(chance.randint(1, 4)):
                change(chance, connection)
            threading.Event().wait(chance.random() / 50)
            connection.rollback() if chance.random() < 0.3 else connection.commit()


def repeat(action: Callable[[], object], over: threading.Event) -> int:
    count = 0
    while not over.is_set() or not count:
        action()
        count += 1
    return count


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_is_stored_is_what_the_database_held_whatever_writers_do(
    report: ReportDefinition, database: str, bucket: ObjectStore, seed: int
) -> None:
    log, over = Log(report, database), threading.Event()
    staged: list[StagedPartition] = []

    def extract() -> None:
        session = session_of(database)
        plan: RunPlan = plan_partitions(report, request_of(report), session=session)
        for group in plan.groups:
            staged.extend(extract_partitions(report, plan, group, session=session, store=bucket))

    with ThreadPoolExecutor(WRITERS + 3) as pool:
        others = [pool.submit(repeat, action, over) for action in (extract, log.look, lambda: compact(database))]
        writers = [pool.submit(write, database, seed * 1000 + number) for number in range(WRITERS)]
        try:
            for writer in writers:
                writer.result()
        finally:
            over.set()
        for other in others:
            assert other.result() > 0
    quiet = len(staged)
    found = log.look()
    extract()
    for part in staged[quiet:]:
        assert part.token == found[part.key]
        assert stored_rows(bucket, part) == database_rows(database, part), part.key
    for part in staged:
        held = log.held.get((part.key, part.token))
        assert held is None or [row[0] for row in stored_rows(bucket, part)] == [row[0] for row in held]
