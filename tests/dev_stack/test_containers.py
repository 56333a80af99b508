"""The container stack's one-time setup creates the bucket and loads the flights."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from quire.dev_stack.containers import main
from quire.dev_stack.flights import READER
from quire.dev_stack.postgres_server import PostgresServer
from quire.dev_stack.s3_server import S3Server


def test_bucket_is_created_once_and_accepts_objects(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"containers-{uuid.uuid4().hex}"
    monkeypatch.setenv("AIRFLOW_CONN_QUIRE_STORE", s3_server.connection)
    monkeypatch.setenv("QUIRE_BUCKET", name)
    assert (main(["bucket"]), main(["bucket"])) == (0, 0)
    store = s3_server.store(name)
    assert store.read(".ready") == b""
    store.delete([".ready"])
    store.client.delete_bucket(Bucket=name)


def test_flights_loaded_twice_changes_nothing(
    postgres_server: PostgresServer, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(conninfo_to_dict(fresh_database)["dbname"])
    reader = postgres_server.url(name, user=READER, password="reader")
    monkeypatch.setenv("AIRFLOW_CONN_QUIRE_OWNER", fresh_database)
    monkeypatch.setenv("AIRFLOW_CONN_QUIRE_SOURCE", reader)
    assert (main(["flights"]), main(["flights"])) == (0, 0)
    with psycopg.connect(reader) as connection:
        assert connection.execute("SELECT count(*) FROM flights").fetchone() == (336_776,)


def test_flights_for_a_role_other_than_the_reader_fails_with_one_line(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_QUIRE_OWNER", fresh_database)
    monkeypatch.setenv("AIRFLOW_CONN_QUIRE_SOURCE", fresh_database)
    assert main(["flights"]) == 2
    error = capsys.readouterr().err
    assert error == f"quire: AIRFLOW_CONN_QUIRE_SOURCE must contain the user {READER} and a password\n"
    assert str(conninfo_to_dict(fresh_database)["password"]) not in error


@pytest.mark.parametrize("arguments", [[], ["bucket", "flights"], ["buckets"]])
def test_main_with_wrong_arguments_prints_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m quire.dev_stack.containers bucket|flights\n"
