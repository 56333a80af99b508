"""Defines session settings for queries. They override those of the connection, the role and the database."""

from __future__ import annotations

from datetime import timedelta

from quire.postgres.keepalive import SERVER
from quire.report.sql_literal import literal

SAFE_SEARCH_PATH = "pg_catalog, pg_temp"  # PostgreSQL never looks up functions and operators in pg_temp
MAX_NAME_LENGTH = 63  # NAMEDATALEN - 1; PostgreSQL truncates longer names with a notice


def local_settings(timezone: str, timeout: timedelta, *, name: str) -> str:
    """Returns a statement that applies the settings to the current transaction, except for unsupported settings.

    Args:
        timezone: the session's time zone.
        timeout: the statement timeout.
        name: the application name in pg_stat_activity and the server log.
    """
    settings = {
        **_reading_settings(timezone),
        "application_name": name[:MAX_NAME_LENGTH],
        "statement_timeout": f"{int(timeout.total_seconds() * 1000)}ms",
        "client_connection_check_interval": "1s",
        "idle_in_transaction_session_timeout": "0",  # the session is idle while Quire commits a partition to the store
        "client_min_messages": "error",  # psycopg2 would store a notice for every row
        **SERVER,
    }
    rows = ", ".join(f"({literal(name)}, {literal(value)})" for name, value in settings.items())
    return (
        "SELECT set_config(s.name, w.value, true) "  # noqa: S608 - both sides are quoted literals
        f"FROM (VALUES {rows}) AS w(name, value) JOIN pg_settings AS s ON s.name = w.name"
    )


def reading_statements(timezone: str) -> str:
    """Returns statements for the settings that a query depends on. They call no functions on the search_path."""
    return "; ".join(f"SET LOCAL {name} TO {literal(value)}" for name, value in _reading_settings(timezone).items())


def _reading_settings(timezone: str) -> dict[str, str]:
    """Returns the settings that determine what a query means and how PostgreSQL prints its values."""
    return {
        "TimeZone": timezone,
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        "standard_conforming_strings": "on",  # sql_template parses strings under this setting
        "extra_float_digits": "3",  # makes PostgreSQL print enough digits to restore the exact number
    }
