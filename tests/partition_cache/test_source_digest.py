"""If changes are detected by transaction, all partitions are read again after a standby takes over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from quire.dev_stack.postgres_server import PostgresServer
from quire.partition_cache.source_digest import read_source_digest
from quire.postgres import open_transaction

from tests.events import request_of, session_of
from tests.postgres.tracking.tables import tracked_report

pytestmark = pytest.mark.server


@pytest.fixture
def server(servers: None, tmp_path: Path) -> Iterator[PostgresServer]:
    """A server of this test's own."""
    server = PostgresServer(tmp_path / "server", password="secret", fast=True)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def source_digests(include: Path, server: PostgresServer) -> dict[str, str]:
    """Returns the source digest for each kind of freshness."""
    digests = {}
    for freshness in ("versions", "tracked", "always"):
        definition = tracked_report(include, freshness=freshness)
        with open_transaction(session_of(server.url())) as transaction:
            digests[freshness] = read_source_digest(definition, request_of(definition), (), transaction=transaction)
    return digests


def test_source_digest_changes_with_the_timeline_if_changes_are_detected_by_transaction(
    tmp_path: Path, server: PostgresServer
) -> None:
    before = source_digests(tmp_path, server)
    server.stop()
    (server.folder / "data" / "standby.signal").touch()
    server.start()
    assert source_digests(tmp_path, server) == before  # a standby has the same rows as its primary
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")
    after = source_digests(tmp_path, server)
    assert {freshness for freshness, digest in after.items() if digest != before[freshness]} == {"versions", "tracked"}
