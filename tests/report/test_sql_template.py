"""Tests placeholders in SQL: valid positions, invalid placeholders, and literals from which values cannot escape."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quire.errors import DefinitionError, ParameterError
from quire.report.catalog.text_file import MAX_QUERY_BYTES
from quire.report.sql_template import (
    ONE_STATEMENT,
    Placeholder,
    TemplateProblem,
    bind,
    normalize,
    placeholders,
    problems,
)


def unquoted(literal: str) -> str:
    """Parses a PostgreSQL string literal; fails if the literal ends too early."""
    text = literal.strip()
    escapes = text.startswith("E")
    body = text.removeprefix("E")
    assert body[0] == body[-1] == "'"
    decoded, position = "", 1
    while position < len(body) - 1:
        pair = body[position : position + 2]
        if pair == "''" or (escapes and pair == "\\\\"):
            decoded, position = decoded + pair[0], position + 2
        elif escapes and pair == "\\n":
            decoded, position = decoded + "\n", position + 2
        else:
            assert pair[0] not in ("'", "\\" if escapes else "'"), literal
            decoded, position = decoded + pair[0], position + 1
    return decoded


def test_placeholders_are_found_with_their_lines() -> None:
    sql = "SELECT *\nFROM flights\nWHERE t >= %(start)s AND t < %(end)s\n  AND c = %(carrier)s"
    assert placeholders(sql) == (Placeholder("start", 3), Placeholder("end", 3), Placeholder("carrier", 4))
    assert problems(sql) == ()


@pytest.mark.parametrize(
    "comment",
    [
        "-- AND c = %(carrier)s, 50% of it's rows\n",
        "/* %(carrier)s ' 50% */",
        "/* outer /* inner */ %(carrier)s */",
        "/* never closed %(carrier)s",
    ],
)
def test_comments_are_unchanged(comment: str) -> None:
    sql = f"SELECT 1 {comment}"
    assert placeholders(sql) == ()
    assert problems(sql) == ()
    assert bind(sql, {"carrier": "x\n; DROP TABLE flights"}).text == sql


@pytest.mark.parametrize(
    "quoted",
    [
        "'%(x)s'",
        "'it''s %(x)s'",
        "E'\\'%(x)s'",
        "e'\\\\\\'%(x)s'",
        '"%(x)s"',
        '"a""%(x)s"',
        "$$%(x)s$$",
        "$q$ $$%(x)s$q$",
    ],
)
def test_placeholder_inside_quotes_is_rejected(quoted: str) -> None:
    sql = f"SELECT 1,\n{quoted}, 2"
    assert problems(sql) == (
        TemplateProblem("%(x)s is inside quotes: remove them, because the value is quoted automatically", 2),
    )
    with pytest.raises(DefinitionError, match="line 2 of the query: %\\(x\\)s is inside quotes"):
        bind(sql, {"x": "1"})


@pytest.mark.parametrize(
    "before",
    [
        "'--'",
        "'/*'",
        '"--"',
        "'\\'",
        "E'\\\\'",
        "''''",
        "$$'$$",
        "a$b$c",
        "type'E'",
        "'a' --'\n",
        "/* ' */",
        "1 - -1",
        "$1",
    ],
)
def test_placeholder_after_quotes_and_comments_is_found(before: str) -> None:
    assert [placeholder.name for placeholder in placeholders(f"SELECT {before}, %(x)s")] == ["x"]


def test_placeholder_directly_after_a_comment_is_found() -> None:
    assert [placeholder.name for placeholder in placeholders("SELECT /* a /* b */ */%(x)s --\n%(y)s")] == ["x", "y"]


@pytest.mark.parametrize("wrong", ["a % b", "%s", "%(x)d", "%(x)", "%()s", "% (x)s", "%(x s", "LIKE 'A%'", "100%"])
def test_single_percent_sign_is_rejected_with_its_line(wrong: str) -> None:
    (problem,) = problems(f"SELECT 1\n, {wrong}\n")
    assert problem.line == 2
    assert problem.reason.endswith("write %(name)s for a value, %% for a percent sign")


def test_doubled_percent_sign_becomes_one_in_code_and_quotes() -> None:
    assert bind("SELECT a %% b, 'A%%', %(x)s", {"x": 1}).text == "SELECT a % b, 'A%', 1"


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "NULL"),
        (True, "true"),
        (False, "false"),
        (12, "12"),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        ("AA", "'AA'"),
        ("", "''"),
        (date(2013, 1, 31), "'2013-01-31'::date"),
        (datetime(2013, 1, 1, 5, tzinfo=UTC), "'2013-01-01 05:00:00+00:00'::timestamptz"),
        (
            datetime(2013, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "'2013-01-01 00:00:00+05:30'::timestamptz",
        ),
    ],
)
def test_value_becomes_a_literal_of_its_type(value: Any, literal: str) -> None:
    assert bind("%(x)s", {"x": value}).text == literal


def test_negative_number_after_a_minus_does_not_start_a_comment() -> None:
    assert bind("SELECT 1 -%(x)s", {"x": -5}).text == "SELECT 1 - -5"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_becomes_one_literal_with_the_same_value(text: str) -> None:
    assert unquoted(bind("%(x)s", {"x": text}).text) == text


@pytest.mark.parametrize("value", ["'; DROP TABLE flights; --", "\\'; --", "%(y)s", "%%", "%", "$$", "*/", "ü\n☃"])
def test_hostile_text_becomes_one_literal_without_placeholders(value: str) -> None:
    sql = bind("SELECT %(x)s, %(y)s", {"x": value, "y": 7}).text
    assert sql.endswith(", 7")
    assert unquoted(sql.removeprefix("SELECT").removesuffix(", 7")) == value


def test_semicolon_is_rejected_outside_quotes_and_comments() -> None:
    (problem,) = problems("SELECT ';', \";\", $$;$$ -- ;\n/* ; */;")
    assert (problem.line, problem.reason) == (
        2,
        "unexpected semicolon: write one query; a semicolon is allowed only at the end of the file",
    )
    assert bind("SELECT ';' -- ;", {}).text == "SELECT ';' -- ;"


@pytest.mark.parametrize("between", ["\n", " -- it's\n", "\r\n \t", "\n-- ''\n  "])
def test_escape_string_continues_on_the_next_line(between: str) -> None:
    assert [problem.reason for problem in problems(f"SELECT E'a'{between}'\\''; COMMIT")] == [ONE_STATEMENT]
    assert problems(f"SELECT E'a'{between}'\\'; COMMIT; --'") == ()


def test_ruler_after_an_escape_string_is_read_once() -> None:
    assert problems("SELECT E'a' " + "-" * 200 + "\n, 1") == ()


def test_adjacent_strings_on_one_line_are_separate() -> None:
    assert [problem.reason for problem in problems("SELECT E'a' '\\'; COMMIT --'")] == [ONE_STATEMENT]


# PostgreSQL, unlike Python, treats every character beyond ASCII as a letter
LETTERS_OF_POSTGRESQL = ["€", "e\u0301", "\u0301", "\u0663", "\u00a0", "\u2028", "²", "日"]


@pytest.mark.parametrize("tag", LETTERS_OF_POSTGRESQL)
def test_dollar_quote_tag_supports_any_letter_of_postgresql(tag: str, fresh_database: str) -> None:
    text = f"${tag}$ ' ${tag}$"
    with psycopg.connect(fresh_database) as connection:
        assert connection.execute(f"SELECT {text} AS n".encode()).fetchall() == [(" ' ",)]
    (problem,) = problems(f"SELECT {text}; DROP TABLE t --'")
    assert "semicolon" in problem.reason


@pytest.mark.parametrize("name", LETTERS_OF_POSTGRESQL)
def test_name_that_ends_in_e_does_not_start_an_escape_string(name: str, fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(f"CREATE DOMAIN {name}e AS text".encode())
        assert connection.execute(f"SELECT {name}e'\\' AS n".encode()).fetchall() == [("\\",)]
    (problem,) = problems(f"SELECT {name}e'\\'; DROP TABLE t --'")
    assert "semicolon" in problem.reason


def test_missing_value_is_rejected() -> None:
    with pytest.raises(ParameterError, match=r"the query's placeholder %\(end\)s has no value"):
        bind("%(start)s %(end)s", {"start": 1})


@pytest.mark.parametrize("value", ["a\0b", object()])
def test_value_without_a_literal_form_is_rejected(value: object) -> None:
    with pytest.raises(ParameterError, match="parameter x cannot be sent to PostgreSQL"):
        bind("%(x)s", {"x": value})


def test_values_without_a_placeholder_are_ignored() -> None:
    assert bind("SELECT 1", {"start": 1}).text == "SELECT 1"


@given(st.text(st.sampled_from("'\"$-/*%()sEe\\\n ax"), max_size=30))
def test_any_sql_is_tokenized_without_loss(sql: str) -> None:
    """In any sequence of tokens, only placeholders and doubled percent signs change."""
    if not problems(sql):
        binds = {placeholder.name: None for placeholder in placeholders(sql)}
        unchanged = bind(sql.replace("%", ""), {}).text
        assert unchanged == sql.replace("%", "")
        assert len(bind(sql, binds).text) <= len(sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", "SELECT ?"),
        ("SELECT a1, t.b2 FROM x WHERE c = 'it''s' AND d = -5.5e3", "SELECT a1, t.b2 FROM x WHERE c = ? AND d = ?"),
        ("SELECT /* 12 */ a -- 'x'\n FROM  t", "SELECT a FROM t"),
        ('SELECT "2013" FROM t', 'SELECT "2013" FROM t'),
        ("SELECT $$ text $$, E'\\''", "SELECT ?, ?"),
    ],
)
def test_normalized_statement_has_no_values(sql: str, expected: str) -> None:
    assert normalize(sql) == expected


@pytest.mark.parametrize("mark", ["%", ";"])
def test_marks_of_a_large_file_are_read_in_linear_time(mark: str) -> None:
    # If parsing takes linear time, this needs about 1 s of CPU time; if quadratic, more than a minute
    code = (
        "import resource; from quire.report.sql_template import placeholders;"
        f"resource.setrlimit(resource.RLIMIT_CPU, (10, 10)); placeholders('{mark}' * {MAX_QUERY_BYTES})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_line_of_a_mark_counts_breaks_inside_the_mark_before() -> None:
    sql = "a\n%(start\n)s\n%(end)s\n\n; %"
    assert [placeholder.line for placeholder in placeholders(sql)] == [2, 4]
    assert [problem.line for problem in problems(sql)] == [6, 6]
