"""A measure expression can read the columns in its row, but nothing else on the worker."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quire.aggregation.measure_expression import parse_expression
from quire.aggregation.result_columns import expression_type
from quire.errors import DefinitionError, QueryError
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.record_types.stage_records import SourceColumn

from tests.events import events_report, fill_events, request_of, session_of
from tests.stages.test_aggregate import summary_rows

PLUGIN = Path(__file__).resolve().parents[2] / "plugins" / "quire"
COLUMNS = tuple(
    SourceColumn(name=name, pg_type=pg_type)
    for name, pg_type in (
        *(("amount", "int4"), ("kind", "text"), ("at", "date"), ("select", "int8"), ("from", "int2")),
        *(("say \"hi\"", "text"), ("order no", "text"), ("é", "int4")),
    )
)  # fmt: skip
PLAIN = [
    "amount",
    '"select" + "from"',
    '"say ""hi"""',
    '"order no"',
    "é + 1",
    "kind = 'SELECT x FROM y'",
    "kind = '(SELECT'",
    "kind IN ('from', 'it''s -- no comment', '/* */', '$$', '`', ';', '\\')",
    "CASE WHEN kind IS DISTINCT FROM 'x' THEN 1 ELSE 0 END",
    "kind IS NOT DISTINCT FROM 'x'",
    "EXTRACT(year FROM at)",
    "extract(month from at) + amount",
    "SUBSTRING(kind FROM 1 FOR 2)",
    "TRIM(LEADING 'x' FROM kind)",
    "at >= DATE '2020-01-01'",
    "CAST(amount AS DOUBLE) / 2",
    "amount::bigint * -1 % 7",
    "COALESCE(amount, 0)",
    "kind LIKE 'a%' AND NOT amount BETWEEN 1 AND 2",
    "+".join(["amount"] * 200),
]


@pytest.mark.parametrize("expression", PLAIN)
def test_expression_over_columns_has_a_type(expression: str) -> None:
    assert str(expression_type(expression, COLUMNS))


QUERIES = [
    "(SELECT nope FROM {file})",
    "(\nselect nope from {file})",
    "(\u017felect nope FROM {file})",  # the keyword begins with a long s, whose uppercase form is S
    "amount IN (SELECT nope FROM {file})",
    "amount IN (FROM {file})",
    "amount IN ((FROM {file}))",
    "amount IN (WITH q AS (FROM {file}) FROM q)",
    "amount IN (VALUES (1))",
    "amount IN (TABLE q)",
    "EXISTS (SELECT nope FROM {file})",
    "amount = ANY(SELECT nope FROM {file})",
    "EXTRACT(year FROM (SELECT nope FROM {file}))",
    "EXTRACT(FROM {file})",
    "amount FROM {file}",
    "{file}",
    # a tokenizer that treats these characters as quotes would see a string
    "`'` IN (SELECT nope FROM {file}) OR kind = `'`",
    "amount = 1 -- '\n OR amount IN (SELECT nope FROM {file}) -- '",
    "amount = 1 /* ' */ OR amount IN (SELECT nope FROM {file}) /* ' */",
    "kind = E'\\'' OR amount IN (SELECT nope FROM {file}) OR kind = E'\\''",
    "kind = q'[']' OR amount IN (SELECT nope FROM {file}) OR kind = q'[']'",
    "kind = $$'$$ OR amount IN (SELECT nope FROM {file}) OR kind = $$'$$",
    "kind = $t$'$t$ OR amount IN (SELECT nope FROM {file}) OR kind = $t$'$t$",
    "kind = U&'\\' OR amount IN (SELECT nope FROM {file})",
    "kind = 'a\\' OR amount IN (SELECT nope FROM {file}) OR kind = '\\'",
    "\"a\\\" = 1 OR amount IN (SELECT nope FROM {file}) OR 1 = \"\\\"",
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_expression_with_a_query_is_rejected_before_reading_a_file(tmp_path: Path, query: str) -> None:
    secret = tmp_path / "airflow.cfg"
    secret.write_text("fernet_key = VERYSECRET\n")
    expression = query.format(file=f"read_csv('{secret}')")
    with pytest.raises(DefinitionError) as caught:
        expression_type(expression, COLUMNS)
    assert "VERYSECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("query", QUERIES)
def test_expression_with_a_query_never_reaches_polars(monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)  # importing Polars now raises ImportError
    with pytest.raises(DefinitionError):
        parse_expression(query.format(file="read_csv('/etc/hostname')"))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("(SELECT 1)", "SELECT.*source.sql.*double quotes"),
        ("amount FROM x", "FROM"),
        ("scan_parquet('x')", "scan_parquet"),
        ("LPAD(kind, 10000000000)", "LPAD.*source.sql"),
        ("amount -- all of it", "--"),
        ("kind = 'x", "an unclosed quote"),
        ("kind = E'x'", "space before the quote"),
        ("amount" + "%2" * 480, "480 operators.*at most 200"),  # this expression once overflowed the stack
        (
            "amount" + " IS NULL" * 240,
            "240 operators.*at most 200",
        ),  # 5,000 of these operators once overflowed the stack
        ("id=1" + " and id" * 240, "241 operators.*at most 200"),  # 400 of these operators once took 8 s
        ("CASE id" + " WHEN 1=1 THEN 2" * 110 + " END", "220 operators.*at most 200"),
        ("CAST(1 AS DECIMAL(900, 3))", "not an expression"),
    ],
)
def test_rejected_expression_error_names_the_field_and_a_fix(
    tmp_path: Path, fresh_database: str, bucket: S3Store, expression: str, reason: str
) -> None:
    fill_events(fresh_database)
    sql = "SELECT id, at, kind, id AS amount, weight, note FROM public.events WHERE at >= %(start)s AND at < %(end)s\n"
    definition = events_report(
        tmp_path,
        sql=sql,
        summaries=[{"name": "S", "by": ["kind"], "measures": {"m": {"agg": "max", "of": expression}}}],
    )
    request = replace(request_of(definition), formats=("csv",))
    with pytest.raises(DefinitionError, match=rf"events\.yaml: summaries\[0\]\.measures\.m\.of: .*{reason}"):
        run_report(definition, request, session=session_of(fresh_database), store=bucket)


def test_only_the_checked_parser_calls_polars() -> None:
    callers = [path.name for path in sorted(PLUGIN.rglob("*.py")) if re.search(r"\bsql_expr\(", path.read_text())]
    assert callers == ["measure_expression.py"]


def test_expression_that_makes_polars_panic_fails_the_query(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_events(fresh_database)
    summary: dict[str, Any] = {"by": ["kind"], "measures": {"m": {"agg": "max", "of": "CAST(id AS DECIMAL(900, 3))"}}}
    with pytest.raises((QueryError, DefinitionError)):
        summary_rows(tmp_path, fresh_database, bucket, summary)
