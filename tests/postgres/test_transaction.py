"""The source transaction is read-only, has a time limit, and ends on the server when the client ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from concurrent.futures import CancelledError
from urllib.parse import quote

import psycopg
import pyarrow as pa
import pytest
from quire.errors import QueryError, SettingsError, SourceUnavailableError
from quire.postgres import SourceTransaction, open_transaction

from tests.events import session_of
from tests.polling import wait_until

MANY = "SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 1000000) AS n"


def running_queries(url: str) -> list[str]:
    """Returns the queries that other connections to this database are executing."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
            "AND pid <> pg_backend_pid()"
        ).fetchall()
    return [query for (query,) in rows]


def stream(transaction: SourceTransaction, sql: str) -> Generator[pa.RecordBatch]:
    return transaction.stream(sql, transaction.columns(sql))


def wait_until_idle(url: str) -> None:
    wait_until(lambda: not running_queries(url), seconds=5)


def idle_transactions(url: str, *, milliseconds: int) -> int:
    """Returns the number of transactions that have been idle for at least ``milliseconds``."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND state = 'idle in transaction' AND clock_timestamp() - state_change > %s * interval '1 ms'",
            [milliseconds],
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_transaction_has_session_time_zone_and_is_read_only(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database, timezone="Asia/Kolkata")) as transaction:
        (row,) = transaction.fetch(
            "SELECT current_setting('TimeZone') AS zone, current_setting('transaction_isolation') AS isolation"
        )
        with pytest.raises(QueryError, match="read-only"):
            transaction.fetch("CREATE TABLE made (n int)")
    assert row == {"zone": "Asia/Kolkata", "isolation": "repeatable read"}


def test_transaction_idle_longer_than_timeout_stays_open(fresh_database: str) -> None:
    url = f"{fresh_database}?options=-c%20idle_in_transaction_session_timeout%3D100"
    with open_transaction(session_of(url)) as transaction:
        wait_until(lambda: idle_transactions(fresh_database, milliseconds=300) == 1)
        assert transaction.fetch("SELECT 1 AS n") == [{"n": 1}]


def test_transaction_sees_one_snapshot(fresh_database: str) -> None:
    with psycopg.connect(fresh_database, autocommit=True) as other:
        other.execute("CREATE TABLE t (n int)")
        with open_transaction(session_of(fresh_database)) as transaction:
            assert transaction.fetch("SELECT count(*) AS n FROM t") == [{"n": 0}]
            other.execute("INSERT INTO t VALUES (1)")
            assert transaction.fetch("SELECT count(*) AS n FROM t") == [{"n": 0}]


def test_stream_yields_every_row_in_bounded_batches(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database)) as transaction:
        batches = [
            (batch.num_rows, batch.nbytes)
            for batch in stream(transaction, "SELECT n, repeat('x', 100) AS text FROM generate_series(1, 200000) AS n")
        ]
    assert sum(rows for rows, _ in batches) == 200_000
    assert len(batches) > 3
    assert max(size for _, size in batches) < 8_000_000


def test_stream_failing_at_last_row_raises_postgresql_error(fresh_database: str) -> None:
    sql = "SELECT 1 / (200000 - n) AS q, repeat('x', 100) AS text FROM generate_series(1, 200000) AS n"
    row_counts: list[int] = []
    with (
        open_transaction(session_of(fresh_database)) as transaction,
        pytest.raises(QueryError, match="division by zero"),
    ):
        row_counts.extend(batch.num_rows for batch in stream(transaction, sql))
    assert sum(row_counts) > 0


def test_stream_exceeding_timeout_is_canceled_by_server(fresh_database: str) -> None:
    with (
        open_transaction(session_of(fresh_database, seconds=0.3)) as transaction,
        pytest.raises(QueryError, match=r"timeout\. Raise source\.timeout"),
    ):
        list(stream(transaction, "SELECT pg_sleep(30)::text AS slept"))
    wait_until_idle(fresh_database)


def test_stream_closed_early_ends_query_on_server(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database)) as transaction:
        for batch in stream(transaction, MANY):
            assert batch.num_rows
            break
    wait_until_idle(fresh_database)


def test_transaction_after_stream_closed_early_is_unavailable(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database)) as transaction:
        for _ in stream(transaction, MANY):
            break
        with pytest.raises(SourceUnavailableError, match="is not available"):
            transaction.fetch("SELECT 1 AS n")


@pytest.mark.parametrize(
    "option",
    ["-c timezone=Nowhere/X", "-c nonsense=1", "-c work_mem=1", "-c port=1", "-c fsync=on", "-c geqo=perhaps", "--x"],
)
def test_invalid_startup_option_raises_settings_error(fresh_database: str, option: str) -> None:
    session = session_of(f"{fresh_database}?options={quote(option)}")
    with pytest.raises(SettingsError, match=r"rejected a connection option: .*\. Correct the options"):
        with open_transaction(session):
            pass


@pytest.mark.parametrize("option", ["sslmode=nonsense", "port=99999", "nonsense=1"])
def test_invalid_url_raises_settings_error(fresh_database: str, option: str) -> None:
    session = session_of(f"{fresh_database}?{option}")
    with pytest.raises(SettingsError, match="cannot parse the PostgreSQL URL"), open_transaction(session):
        pass


def test_stream_unstorable_value_ends_the_query(fresh_database: str) -> None:
    query = (
        "SELECT CASE WHEN n = 100000 THEN 'NaN' ELSE n::text END::numeric(12,2) AS a, repeat('x', 100) AS text "
        "FROM (SELECT generate_series(1, 1000000000) AS n) AS s"
    )
    with (
        open_transaction(session_of(fresh_database)) as transaction,
        pytest.raises(QueryError, match=r"column a \(numeric\(12,2\)\) contains a value that is not a number"),
    ):
        list(stream(transaction, query))
    wait_until_idle(fresh_database)


def test_transaction_suppresses_notices(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database)) as transaction:
        (row,) = transaction.fetch("SELECT current_setting('client_min_messages') AS level")
    assert row == {"level": "error"}


def test_cancelled_session_ends_its_streams(fresh_database: str) -> None:
    session = session_of(fresh_database)
    timer = threading.Timer(0.5, session.cancelled.set)
    timer.start()
    started = time.monotonic()
    with open_transaction(session) as transaction, pytest.raises(CancelledError):
        list(stream(transaction, "SELECT pg_sleep(30)::text AS slept"))
    assert time.monotonic() - started < 5
    wait_until_idle(fresh_database)


def test_stream_terminated_backend_raises_source_unavailable(fresh_database: str) -> None:
    def terminate() -> None:
        with psycopg.connect(fresh_database, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND query LIKE '%pg_sleep(29)%' AND pid <> pg_backend_pid()"
            )

    timer = threading.Timer(0.5, terminate)
    timer.start()
    with open_transaction(session_of(fresh_database)) as transaction, pytest.raises(SourceUnavailableError):
        list(stream(transaction, "SELECT pg_sleep(29)::text AS slept"))
    timer.join()


def test_connection_refused_raises_with_host_but_no_password() -> None:
    session = session_of("postgresql://someone:s%40crt@127.0.0.1:9/nowhere")
    with pytest.raises(SourceUnavailableError, match=r"127\.0\.0\.1:9") as caught, open_transaction(session):
        pass
    assert "s%40crt" not in str(caught.value)
    assert "s@crt" not in str(caught.value)
    assert "s%40crt" not in repr(session)


def test_connection_refused_lists_every_host() -> None:
    session = session_of("postgresql://someone@127.0.0.1:9,127.0.0.1:10/nowhere?password=s%25cret")
    with (
        pytest.raises(SourceUnavailableError, match=r"at 127\.0\.0\.1:9,127\.0\.0\.1:10 is not") as caught,
        open_transaction(session),
    ):
        pass
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("user", "password", "database", "reason"),
    [
        ("nobody", "wr0ngwr0ng", "", 'password authentication failed for user "nobody"'),
        ("postgres", "postgres", "", 'password authentication failed for user "postgres"'),
        ("nobody", "p", "", 'password authentication failed for user "nobody"'),
        ("", "", "nosuch", 'database "nosuch" does not exist'),
    ],
)
def test_rejected_connection_raises_one_line_without_password(
    fresh_database: str, user: str, password: str, database: str, reason: str
) -> None:
    identity, _, place = fresh_database.removeprefix("postgresql://").rpartition("@")
    default_user, _, secret = identity.partition(":")
    address = (
        f"postgresql://{user or default_user}:{password or secret}@{place.rpartition('/')[0]}/{database or 'postgres'}"
    )
    with pytest.raises(SettingsError, match="Check its user, password and database") as caught:
        with open_transaction(session_of(address)):
            pass
    line = str(caught.value)
    assert f"rejected the connection: {reason}." in line.replace("  ", " ")
    assert "\n" not in line
    assert secret not in line
    assert "wr0ng" not in line


def test_columns_returns_types_without_executing_the_query(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database)) as transaction:
        columns = transaction.columns(
            "SELECT 1.5::numeric(12,2) AS a, 1.5::numeric AS b, 1.5::numeric(5,-1) AS c, now() AS d, '{}'::jsonb AS e, "
            "pg_sleep(60) IS NULL AS f"
        )
    assert [(column.name, column.pg_type) for column in columns] == [
        ("a", "numeric(12,2)"),
        ("b", "numeric"),
        ("c", "numeric(5,-1)"),
        ("d", "timestamptz"),
        ("e", "jsonb"),
        ("f", "bool"),
    ]
