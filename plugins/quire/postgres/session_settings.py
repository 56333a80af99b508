"""Session settings for reading, which override those of the connection, role and database."""

from __future__ import annotations

from datetime import timedelta

from quire.postgres.keepalive import SERVER
from quire.report.sql_literal import literal

SAFE_SEARCH_PATH = "pg_catalog, pg_temp"  # PostgreSQL never looks up functions and operators in pg_temp
MAX_NAME_LENGTH = 63  # NAMEDATALEN - 1; PostgreSQL truncates longer names with a notice


def local_settings(timezone: str, timeout: timedelta, *, name: str) -> str:
    """Returns the statement that applies all settings that the server knows to one transaction.

    Args:
        timezone: the session's time zone.
        timeout: the statement timeout.
        name: the application name, for pg_stat_activity and the log.
    """
    settings = {
        **_reading_settings(timezone),
        "application_name": name[:MAX_NAME_LENGTH],
        "statement_timeout": f"{int(timeout.total_seconds() * 1000)}ms",
        "client_connection_check_interval": "1s",
        "idle_in_transaction_session_timeout": "0",  # idle between partitions, while the store commits
        "client_min_messages": "error",  # psycopg2 would keep the notices of every row
        **SERVER,
    }
    rows = ", ".join(f"({literal(name)}, {literal(value)})" for name, value in settings.items())
    return (
        "SELECT set_config(s.name, w.value, true) "  # noqa: S608 - both sides are quoted literals
        f"FROM (VALUES {rows}) AS w(name, value) JOIN pg_settings AS s ON s.name = w.name"
    )


def reading_statements(timezone: str) -> str:
    """Returns statements for the settings that a query depends on. They call no functions from the search_path."""
    return "; ".join(f"SET LOCAL {name} TO {literal(value)}" for name, value in _reading_settings(timezone).items())


def _reading_settings(timezone: str) -> dict[str, str]:
    """Returns the settings that affect the meaning of a query and the text of its values."""
    return {
        "TimeZone": timezone,
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        "standard_conforming_strings": "on",  # as sql_template reads them
        "extra_float_digits": "3",  # prints text that parses to the same number
    }
