"""Writers that change random rows while runs store partitions, and a ledger of the rows that belong to each token."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

import psycopg
import pyarrow.parquet as pq
from quire.date_range import DatePartition, DateRange
from quire.object_store.s3_store import S3Store
from quire.postgres import SourceTransaction, open_transaction
from quire.record_types.stage_records import StagedPartition
from quire.report.definition import ReportDefinition
from quire.stages import extract
from quire.stages.plan import plan_partitions

from tests.events import request_of, session_of
from tests.postgres.tracking.observed import observed_session

WRITERS, SECONDS = 3, 4
MAX_PAUSE = 0.3  # long enough that some tokens do not change between two reads
Rows = list[tuple[int, str, str | None]]
TokenReader = Callable[..., dict[str, str]]


def weeks_of(definition: ReportDefinition) -> list[DatePartition]:
    request = request_of(definition)
    days = DateRange(start=request.start, end=request.end, timezone=request.timezone)
    return list(days.partitions(definition.partition))


class Ledger:
    """Records the rows for each freshness token, from the snapshot in which the token was read."""

    def __init__(self, definition: ReportDefinition, url: str, read_tokens: TokenReader) -> None:
        self._definition, self._url, self._weeks = definition, url, weeks_of(definition)
        self._read_tokens = read_tokens
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
        tokens_by_key = self._read_tokens(self._definition, self._weeks, transaction=transaction)
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


def store_during_writes(
    report: ReportDefinition,
    database: str,
    store: S3Store,
    *,
    read_tokens: TokenReader,
    maintenance: Sequence[Callable[[], object]],
    seed: int,
) -> None:
    """Stores partitions while other threads write, and checks that each partition has the rows of its token.

    Args:
        report: a report on the events, with weekly partitions.
        database: the URL of the events' owner.
        store: the store for the partitions.
        read_tokens: reads the partitions' tokens in a transaction.
        maintenance: actions that other threads repeat meanwhile, and that must not change any token.
        seed: the seed of the writers' changes.
    """
    ledger, stopped, staged = Ledger(report, database, read_tokens), threading.Event(), list[StagedPartition]()

    def store_all() -> None:
        session = observed_session(session_of(database), before_stream=ledger.record_all)
        planned = plan_partitions(report, request_of(report), session=session, store=store)
        staged.extend(planned.cached)
        for group in planned.groups:
            staged.extend(extract.extract_partitions(report, planned.plan, group, session=session, store=store))

    with ThreadPoolExecutor(WRITERS + 2 + len(maintenance)) as pool:
        others = [pool.submit(repeat, action, stopped) for action in (store_all, ledger.read_tokens, *maintenance)]
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
        assert stored_rows(store, part) == ledger.rows[part.key, part.freshness_token], part.key
