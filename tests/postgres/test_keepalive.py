"""If a connection is lost during COPY, by a reset or silently, a transient error is raised."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from quire.errors import SourceUnavailableError, TransientError
from quire.object_store.s3_store import S3Store
from quire.postgres import open_transaction
from quire.postgres.keepalive import with_defaults
from quire.stages.extract import extract_partitions
from quire.stages.plan import plan_partitions

from tests.events import events_report, fill_events, request_of, session_of
from tests.polling import wait_until
from tests.postgres.test_endings import RANGE, SENDING, queries
from tests.relay import FAR, Relay

SECONDS_TO_NOTICE = 60  # twice the 30 s after which the connection settings detect the loss


@pytest.fixture
def relay(fresh_database: str) -> Iterator[Relay]:
    place = urlsplit(fresh_database)
    assert place.hostname
    assert place.port
    relay = Relay((place.hostname, place.port))
    yield relay
    relay.close()


def far(url: str, relay: Relay) -> str:
    """Returns the database URL for connections through the relay."""
    place = urlsplit(url)
    return place._replace(netloc=f"{place.netloc.rpartition('@')[0]}@{FAR}:{relay.port}").geturl()


@contextmanager
def unreachable(address: str) -> Iterator[None]:
    """Drops every packet sent to one of this machine's addresses."""
    route = ["blackhole", f"{address}/32", "table", "local", "metric", "0"]
    subprocess.run(["ip", "route", "add", *route], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", *route], check=True)


@pytest.mark.parametrize("how", ["reset", "silent"])
def test_connection_lost_during_copy_raises_transient_error(
    tmp_path: Path, fresh_database: str, bucket: S3Store, relay: Relay, how: str
) -> None:
    if how == "silent" and (os.geteuid() or not shutil.which("ip")):
        pytest.skip("requires root and iproute2 to cut the network")
    fill_events(fresh_database)
    definition = events_report(tmp_path, sql=SENDING + RANGE)
    started = time.monotonic()
    near, request = session_of(fresh_database), request_of(definition, "2013-01-01", "2013-01-31")
    planned = plan_partitions(definition, request, session=near, store=bucket)
    session = replace(near, url=far(fresh_database, relay))
    with ExitStack() as network:

        def lose() -> None:
            wait_until(lambda: relay.sent > 5_000_000, seconds=60)
            if how == "reset":
                relay.reset()
            else:
                relay.pause()
                network.enter_context(unreachable(FAR))

        thread = threading.Thread(target=lose)
        thread.start()
        with pytest.raises(SourceUnavailableError, match="is not available") as caught:
            extract_partitions(definition, planned.plan, planned.groups[0], session=session, store=bucket)
        thread.join()
    assert time.monotonic() - started < SECONDS_TO_NOTICE
    assert isinstance(caught.value, TransientError)
    assert "\n" not in str(caught.value)
    assert (caught.value.report, caught.value.partition) == (definition.name, "2013-01")
    assert [entry.key for entry in bucket.list("")] == []
    relay.close()  # the relay's connection to PostgreSQL is still open
    wait_until(lambda: not queries(fresh_database), seconds=2)


def test_transaction_sets_server_side_keepalive(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database)) as transaction:
        rows = transaction.fetch(
            "SELECT current_setting('tcp_user_timeout') AS unanswered, current_setting('tcp_keepalives_idle') AS silent"
        )
    assert rows == [{"unanswered": "600000", "silent": "10"}]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/d", "postgresql://h/d?connect_timeout=5"),
        ("postgresql://h/d?", "postgresql://h/d?connect_timeout=5"),
        ("postgresql://h/d?sslmode=require", "postgresql://h/d?sslmode=require&connect_timeout=5"),
        ("postgresql://h/d?connect_timeout=9", "postgresql://h/d?connect_timeout=9"),
    ],
)
def test_with_defaults_adds_only_missing_parameters(url: str, expected: str) -> None:
    assert with_defaults(url, connect_timeout="5") == expected
