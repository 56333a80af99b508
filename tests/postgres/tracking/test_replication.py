"""Rows that a subscription applies are logged, although logical replication does not fire statement triggers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from quire.dev_stack.postgres_server import PostgresServer
from quire.postgres.tracking.installation import track

from tests.postgres.tracking.tables import PARTITIONED, ask, run_sql, stale, tokens, tracked_report

pytestmark = pytest.mark.server

SECONDS = 60
ROWS = "SELECT * FROM events ORDER BY id"
TABLES = ("events", "events_old", "events_new_a", "events_new_b")


@pytest.fixture
def server(servers: None, tmp_path: Path) -> Iterator[PostgresServer]:
    """A separate server, because publishing requires a setting that only a restart changes."""
    server = PostgresServer(tmp_path / "postgresql", password="secret", fast=True)
    try:
        server.start()
        run_sql(server.url(), "ALTER SYSTEM SET wal_level = logical")
        server.stop()
        server.start()
        for name in ("publisher", "subscriber"):
            server.create_database(name)
            run_sql(server.url(name), PARTITIONED.format(kind="timestamptz"))
        yield server
    finally:
        server.stop()


def subscribe(server: PostgresServer) -> None:
    run_sql(
        server.url("publisher"),
        *(f"ALTER TABLE {table} REPLICA IDENTITY FULL" for table in TABLES),
        "CREATE PUBLICATION p FOR TABLE events WITH (publish_via_partition_root)",
        # CREATE SUBSCRIPTION cannot create the slot, because it would wait for its own transaction
        "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
    )
    run_sql(
        server.url("subscriber"),
        "TRUNCATE events",
        f"CREATE SUBSCRIPTION s CONNECTION '{server.url('publisher')}' PUBLICATION p "
        "WITH (create_slot = false, slot_name = 's')",
    )
    wait(server.url("subscriber"), "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")


def wait(url: str, condition: str) -> None:
    deadline = time.monotonic() + SECONDS
    while ask(url, condition) != [(True,)]:
        assert time.monotonic() < deadline, condition
        time.sleep(0.05)


def wait_until_same(publisher: str, subscriber: str) -> None:
    """Waits until both servers have the same rows. The subscriber logs rows in the transaction that applies them."""
    deadline = time.monotonic() + SECONDS
    while ask(publisher, ROWS) != ask(subscriber, ROWS):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_replicated_changes_make_their_partitions_stale(tmp_path: Path, server: PostgresServer) -> None:
    publisher, subscriber = server.url("publisher"), server.url("subscriber")
    subscribe(server)
    definition = tracked_report(tmp_path)
    track(definition, subscriber)
    try:
        for change, expected in {
            "INSERT INTO events VALUES (9, '2013-02-02 12:00', 'b')": ["2013-02"],
            "UPDATE events SET amount = 9 WHERE id = 1": ["2013-01"],
            "UPDATE events SET at = '2013-03-03 12:00' WHERE id = 2": ["2013-02", "2013-03"],
            "UPDATE events SET at = '2013-01-03 12:00' WHERE id = 3": ["2013-01", "2013-03"],
            "DELETE FROM events WHERE id = 9": ["2013-02"],
            "TRUNCATE events": ["2013-01", "2013-02", "2013-03"],
        }.items():
            before = tokens(definition, subscriber)
            run_sql(publisher, change)
            wait_until_same(publisher, subscriber)
            assert stale(before, tokens(definition, subscriber)) == expected, change
    finally:
        run_sql(
            subscriber,
            "ALTER SUBSCRIPTION s DISABLE",
            "ALTER SUBSCRIPTION s SET (slot_name = NONE)",
            "DROP SUBSCRIPTION s",
        )
