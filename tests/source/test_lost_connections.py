"""A connection that is cut in the middle of COPY, by a reset or without a word, is an error that may pass."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from quire.errors import SourceUnavailableError, TransientError
from quire.object_store import ObjectStore
from quire.source import open_transaction
from quire.source.lost_connections import with_defaults
from quire.stages.extract import extract_partitions
from quire.stages.plan import plan_partitions

from tests.events import events_report, fill_events, request_of, session_of
from tests.source.test_endings import RANGE, SENDING, queries, until

FAR = "127.0.0.77"  # an address of this machine that nobody else uses
SECONDS_TO_NOTICE = 60  # half of them by the connection's own settings
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what was not sent is dropped, and the other end told so


class Relay:
    """Hands on what goes between a client and PostgreSQL, until it is told to be lost.

    Args:
        server: PostgreSQL's address.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._going = threading.Event()
        self._going.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((FAR, 0))
        self.port = self._listener.getsockname()[1]
        self.sent = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # of the closed listener
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                threading.Thread(target=self._hand_on, args=[client, server], daemon=True).start()
                threading.Thread(target=self._hand_on, args=[server, client], daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # either end has gone
            while block := source.recv(65_536):
                self._going.wait()
                sink.sendall(block)
                self.sent += len(block)
            sink.shutdown(socket.SHUT_WR)

    def pause(self) -> None:
        """Hands nothing on from now."""
        self._going.clear()

    def reset(self) -> None:
        """Ends every connection, as a firewall does that has forgotten it."""
        for end in self._sockets:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)
            end.close()

    def close(self) -> None:
        """Ends it and its connections."""
        self._listener.close()
        self._going.set()
        for end in self._sockets:
            end.close()


@pytest.fixture
def relay(fresh_database: str) -> Iterator[Relay]:
    place = urlsplit(fresh_database)
    assert place.hostname
    assert place.port
    relay = Relay((place.hostname, place.port))
    yield relay
    relay.close()


def far(url: str, relay: Relay) -> str:
    """Returns the address of the database behind the relay."""
    place = urlsplit(url)
    return place._replace(netloc=f"{place.netloc.rpartition('@')[0]}@{FAR}:{relay.port}").geturl()


@contextmanager
def unreachable(address: str) -> Iterator[None]:
    """Lets every packet to an address of this machine be dropped."""
    route = ["blackhole", f"{address}/32", "table", "local", "metric", "0"]
    subprocess.run(["ip", "route", "add", *route], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", *route], check=True)


@pytest.mark.parametrize("how", ["reset", "silent"])
def test_connection_that_is_lost_in_the_middle_of_copy_is_an_error_that_may_pass(
    tmp_path: Path, fresh_database: str, bucket: ObjectStore, relay: Relay, how: str
) -> None:
    if how == "silent" and (os.geteuid() or not shutil.which("ip")):
        pytest.skip("only root, with iproute2's ip, can cut a network")
    fill_events(fresh_database)
    definition = events_report(tmp_path, sql=SENDING + RANGE)
    began = time.monotonic()
    near, request = session_of(fresh_database), request_of(definition, "2013-01-01", "2013-01-31")
    plan = plan_partitions(definition, request, session=near, store=bucket)
    session = replace(near, url=far(fresh_database, relay))
    with ExitStack() as network:

        def lose() -> None:
            assert until(lambda: relay.sent > 50_000_000, seconds=60)
            if how == "reset":
                relay.reset()
            else:
                relay.pause()
                network.enter_context(unreachable(FAR))

        thread = threading.Thread(target=lose)
        thread.start()
        with pytest.raises(SourceUnavailableError, match="is not available") as caught:
            extract_partitions(definition, plan, plan.groups[0], session=session, store=bucket)
        thread.join()
    assert time.monotonic() - began < SECONDS_TO_NOTICE
    assert isinstance(caught.value, TransientError)
    assert "\n" not in str(caught.value)
    assert (caught.value.report, caught.value.partition) == (definition.name, "2013-01")
    assert [entry.key for entry in bucket.list("")] == []
    relay.close()  # PostgreSQL's own network was never cut
    assert until(lambda: not queries(fresh_database), seconds=2)


def test_server_gives_up_a_client_that_it_cannot_reach(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database)) as transaction:
        rows = transaction.fetch(
            "SELECT current_setting('tcp_user_timeout') AS unanswered, current_setting('tcp_keepalives_idle') AS silent"
        )
    assert rows == [{"unanswered": "30000", "silent": "10"}]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/d", "postgresql://h/d?connect_timeout=5"),
        ("postgresql://h/d?", "postgresql://h/d?connect_timeout=5"),
        ("postgresql://h/d?sslmode=require", "postgresql://h/d?sslmode=require&connect_timeout=5"),
        ("postgresql://h/d?connect_timeout=9", "postgresql://h/d?connect_timeout=9"),
    ],
)
def test_defaults_are_added_to_an_address_that_does_not_say_otherwise(url: str, expected: str) -> None:
    assert with_defaults(url, connect_timeout="5") == expected
