"""Airflow's PostgreSQL connections as libpq's addresses."""

from __future__ import annotations

import json

import pytest
from psycopg.conninfo import conninfo_to_dict
from quire.airflow_dag.connections import connection_address
from quire.errors import SettingsError


@pytest.mark.parametrize("host", ["/var/run/postgresql", "db.example.org", "::1"])
def test_connection_to_a_host_or_a_socket_is_what_libpq_reads(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "postgres", "host": host, "login": "u", "password": "p@/#", "schema": "d"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    read = conninfo_to_dict(connection_address("warehouse"))
    assert (read["host"], read["user"], read["password"], read["dbname"]) == (host, "u", "p@/#", "d")


def test_connection_to_a_socket_is_read_from_an_address_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgresql://u:p@%2Fvar%2Frun%2Fpostgresql/d")
    assert conninfo_to_dict(connection_address("warehouse"))["host"] == "/var/run/postgresql"


@pytest.mark.parametrize("host", ["s3cr/w@h", "s3cr/w", "/s3cr@h", "s3cr?h", "s3cr#h"])
def test_connection_with_a_password_in_its_host_is_refused_without_it(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "postgres", "host": host}))
    with pytest.raises(SettingsError, match="is not a host name") as caught:
        connection_address("warehouse")
    assert "s3cr" not in str(caught.value)
