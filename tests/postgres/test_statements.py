"""Statements use little memory and have typed NULL parameters, and the log omits their values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from quire.postgres import open_transaction
from quire.report.definition import ReportDefinition
from quire.report.sql_template import Statement, bind, normalize
from quire.resource_usage import StatementLog

from tests.events import session_of

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
MAX_GROWTH_MB = 30  # enough for a few copies of 1 MB of text; a backtracking regular expression needed 170 MB
MEASURE = """
import resource
from quire.report.sql_template import bind, normalize
text = "a'b " * 262_144
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
statement = bind("SELECT %(x)s, 'it''s'", {"x": text}).within("SELECT * FROM (", ") AS report")
shape = normalize(statement.template)
normalize(statement.text)
print(shape, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, sep="|")
"""


def typed(kind: str) -> ReportDefinition:
    source = {"sql": "a.sql", "time_column": "t"}
    parameters = {"x": {"type": kind, "default": None}}
    return ReportDefinition.model_validate(
        {"name": "events", "source": source, "partition": "day", "parameters": parameters}
    )


def test_long_value_needs_little_memory_and_is_normalized() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(PLUGINS)}
    ).stdout
    shape, growth = printed.split("|")
    assert shape == "SELECT * FROM (SELECT ?, ?) AS report"
    assert int(growth) < MAX_GROWTH_MB


def test_statement_within_keeps_text_and_template_apart() -> None:
    statement = bind("SELECT %(x)s -- 5\n", {"x": "a'b"}).within("COPY (", ") TO STDOUT")
    assert statement.text == str(statement) == "COPY (SELECT 'a''b' -- 5\n) TO STDOUT"
    assert normalize(statement.template) == "COPY (SELECT ? ) TO STDOUT"
    assert Statement.of("SELECT 1") == Statement(text="SELECT 1", template="SELECT 1")


def test_transaction_logs_statements_without_values(fresh_database: str) -> None:
    log = StatementLog()
    session = session_of(fresh_database)
    object.__setattr__(session, "statements", log)
    statement = bind("SELECT %(x)s::text AS value", {"x": "secret"})
    with open_transaction(session) as transaction:
        columns = transaction.columns(statement)
        transaction.explain(statement)
        list(transaction.stream(statement, columns))
    logged = " ".join(usage.sql for usage in log.statements())
    assert "SELECT ?::text AS value" in logged
    assert "secret" not in logged


@pytest.mark.parametrize(
    ("kind", "sql", "answer"),
    [
        ("date", "SELECT pg_typeof(coalesce(%(x)s, '1990-01-01'))::text AS a", "date"),
        ("date", "SELECT coalesce(%(x)s, '1990-01-01') + 1 AS a", "1990-01-02"),
        ("integer", "SELECT pg_typeof(coalesce(%(x)s, '7'))::text AS a", "integer"),
        ("integer", "SELECT make_interval(days => %(x)s) AS a", None),
        ("number", "SELECT pg_typeof(coalesce(%(x)s, '7.5'))::text AS a", "numeric"),
        ("boolean", "SELECT pg_typeof(coalesce(%(x)s, 'yes'))::text AS a", "boolean"),
        ("string", "SELECT 1 AS a WHERE %(x)s IS NULL OR 1 = %(x)s", "1"),  # untyped, like its values
        ("string", "SELECT pg_typeof(coalesce(%(x)s, 'a'))::text AS a", "text"),
    ],
)
def test_parameter_without_value_is_typed_null(fresh_database: str, kind: str, sql: str, answer: str | None) -> None:
    definition = typed(kind)
    binds = definition.sql_binds(definition.bind_parameters({}))
    with open_transaction(session_of(fresh_database)) as transaction:
        (row,) = transaction.fetch(bind(sql, binds))
    assert (None if row["a"] is None else str(row["a"])) == answer
