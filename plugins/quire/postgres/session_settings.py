"""The settings of a session that reads a source, whatever its connection, role or database sets."""

from __future__ import annotations

from datetime import timedelta

from quire.postgres.keepalive import SERVER
from quire.report.sql_literal import literal

SAFE_SEARCH_PATH = "pg_catalog, pg_temp"  # PostgreSQL never looks up functions and operators in pg_temp
MAX_NAME_LENGTH = 63  # PostgreSQL's NAMEDATALEN - 1; it would cut by itself, with a notice


def local_settings(timezone: str, timeout: timedelta, *, name: str) -> str:
    """Returns the statement that sets all of them for a transaction, where the server has them.

    Args:
        timezone: of the session.
        timeout: of each statement.
        name: what PostgreSQL shows of the transaction.
    """
    wanted = {
        **_reading_settings(timezone),
        "application_name": name[:MAX_NAME_LENGTH],
        "statement_timeout": f"{int(timeout.total_seconds() * 1000)}ms",
        "client_connection_check_interval": "1s",
        "idle_in_transaction_session_timeout": "0",  # between two partitions of a snapshot, while the store commits
        "client_min_messages": "error",  # the client would keep notices and warnings, of each row
        **SERVER,
    }
    rows = ", ".join(f"({literal(name)}, {literal(value)})" for name, value in wanted.items())
    return (
        "SELECT set_config(s.name, w.value, true) "  # noqa: S608 - both sides are quoted literals
        f"FROM (VALUES {rows}) AS w(name, value) JOIN pg_settings AS s ON s.name = w.name"
    )


def reading_statements(timezone: str) -> str:
    """Returns the statements that set those a query depends on. They call no function, whatever the search_path is."""
    return "; ".join(f"SET LOCAL {name} TO {literal(value)}" for name, value in _reading_settings(timezone).items())


def _reading_settings(timezone: str) -> dict[str, str]:
    """Returns the settings on which the meaning of a query and the text of its values depend."""
    return {
        "TimeZone": timezone,
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        "standard_conforming_strings": "on",  # as sql_template reads them
        "extra_float_digits": "3",  # text that is read back as the same number
    }
