"""Tests the conversion of Airflow's PostgreSQL connections to libpq URIs."""

from __future__ import annotations

import json

import pytest
from psycopg.conninfo import conninfo_to_dict
from quire.airflow_dag.connections import connection_url
from quire.errors import SettingsError


@pytest.mark.parametrize("host", ["/var/run/postgresql", "db.example.org", "::1"])
def test_connection_url_of_a_host_or_socket_is_valid_for_libpq(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "postgres", "host": host, "login": "u", "password": "p@/#", "schema": "d"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    parameters = conninfo_to_dict(connection_url("warehouse"))
    assert [parameters[key] for key in ("host", "user", "password", "dbname")] == [host, "u", "p@/#", "d"]


def test_connection_url_of_a_socket_in_a_uri_is_valid_for_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgresql://u:p@%2Fvar%2Frun%2Fpostgresql/d")
    assert conninfo_to_dict(connection_url("warehouse"))["host"] == "/var/run/postgresql"


@pytest.mark.parametrize("host", ["s3cr/w@h", "s3cr/w", "/s3cr@h", "s3cr?h", "s3cr#h"])
def test_connection_with_a_password_in_its_host_is_rejected_without_showing_it(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "postgres", "host": host}))
    with pytest.raises(SettingsError, match="is not a host name") as caught:
        connection_url("warehouse")
    assert "s3cr" not in str(caught.value)
