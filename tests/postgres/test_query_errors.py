"""If PostgreSQL rejects a query, the error states the file and line, PostgreSQL's hint and any missing privilege."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from quire.cli.check import validate_query
from quire.dev_stack.postgres_server import PostgresServer
from quire.errors import DefinitionError, QueryError, ReportError
from quire.postgres.grant_hints import missing_grant
from quire.postgres.query_hints import query_advice

from tests.events import SQL, events_report, fill_events, session_of


def check_error(include: Path, url: str, sql: str, **changes: object) -> ReportError:
    definition = events_report(include, sql=sql, **changes)
    with pytest.raises(ReportError) as caught:
        validate_query(definition, session=session_of(url))
    return caught.value


def test_unknown_column_raises_with_file_line_and_hint(tmp_path: Path, fresh_database: str) -> None:
    fill_events(fresh_database)
    sql = "SELECT at,\n  kindd AS kind,\n  amount\nFROM events\nWHERE at >= %(start)s AND at < %(end)s\n"
    error = check_error(tmp_path, fresh_database, sql)
    assert isinstance(error, DefinitionError)
    assert error.message.startswith('sql/events/extract.sql:2: PostgreSQL rejected the query: column "kindd" does')
    assert error.message.endswith('PostgreSQL\'s hint: Perhaps you meant to reference the column "events.kind".')


def test_error_line_after_multiline_value_is_line_of_file(tmp_path: Path, fresh_database: str) -> None:
    fill_events(fresh_database)
    sql = SQL.replace("ORDER", "AND kind <> %(kind)s\nAND nothing\nORDER")
    parameters = {"kind": {"type": "string", "default": "a\nb\\\n"}}
    line = sql[: sql.index("nothing")].count("\n") + 1
    error = check_error(tmp_path, fresh_database, sql, parameters=parameters)
    assert error.message.startswith(f'sql/events/extract.sql:{line}: PostgreSQL rejected the query: column "nothing"')


def test_value_of_wrong_type_raises_with_file(tmp_path: Path, fresh_database: str) -> None:
    fill_events(fresh_database)
    error = check_error(tmp_path, fresh_database, SQL.replace("ORDER", "AND DATE 'x' > now()\nORDER"))
    assert type(error) is QueryError
    assert ".sql:" in error.message


def test_missing_table_privilege_raises_with_grant(
    tmp_path: Path, fresh_database: str, postgres_server: PostgresServer
) -> None:
    fill_events(fresh_database)
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute('DROP ROLE IF EXISTS "No_Rights"')
        connection.execute("CREATE ROLE \"No_Rights\" LOGIN PASSWORD 'secret word'")
    name = urlsplit(fresh_database).path.removeprefix("/")
    url = postgres_server.url(name, user="No_Rights", password="secret word")
    error = check_error(tmp_path, url, SQL)
    assert error.message.endswith(
        'permission denied for table events (SQLSTATE 42501). The owner can run: GRANT SELECT ON events TO "No_Rights"'
    )
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute('DROP ROLE "No_Rights"')


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ("permission denied for schema shop", "GRANT USAGE ON SCHEMA shop TO reader"),
        ("permission denied for view Orders", 'GRANT SELECT ON "Orders" TO reader'),
        ("permission denied for materialized view m", "GRANT SELECT ON m TO reader"),
        ("permission denied for function f", "GRANT EXECUTE ON FUNCTION f TO reader"),
        ("permission denied for sequence s", "GRANT SELECT ON SEQUENCE s TO reader"),
        ("must be owner of table t", ""),
    ],
)
def test_missing_grant_returns_privilege_for_each_kind(message: str, command: str) -> None:
    assert missing_grant(message, role="reader") == (f". The owner can run: {command}" if command else "")


@pytest.mark.parametrize(
    ("sql", "clauses"),
    [
        ("SELECT a FROM t ORDER BY a LIMIT 10", ["LIMIT"]),
        ("SELECT a FROM t FETCH FIRST 5 ROWS ONLY", ["FETCH"]),
        ("select a from t limit 10 offset 5", ["LIMIT", "OFFSET"]),
        ("SELECT DISTINCT a FROM t", ["SELECT DISTINCT"]),
        ("WITH x AS (SELECT DISTINCT a FROM t LIMIT 5) SELECT a FROM x", []),
        ("SELECT count(DISTINCT a), 'LIMIT 5' AS x, \"limit\" FROM t -- LIMIT 5\n", []),
        ("SELECT a FROM t WHERE a IS DISTINCT FROM b /* LIMIT */", []),
        ("SELECT (SELECT b FROM u LIMIT 1) FROM t", []),
    ],
)
def test_query_advice_lists_clauses_applied_per_partition(sql: str, clauses: list[str]) -> None:
    advice = "\n".join(query_advice(sql))
    assert re.findall(r"^the query (?:has|is) ([A-Z ]*[A-Z]),", advice, re.MULTILINE) == clauses


def test_check_limit_prints_warning(tmp_path: Path, fresh_database: str) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, sql=f"{SQL.rstrip()} LIMIT 10\n")
    (advice,) = validate_query(definition, session=session_of(fresh_database))
    assert advice.startswith("the query has LIMIT, which applies to each partition separately")
