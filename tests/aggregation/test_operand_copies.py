"""Polars copies some functions' operands, so nested calls are rejected before the copies exhaust memory."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest
from quire.aggregation.measure_expression import FUNCTIONS, ensure_expression, parse_expression
from quire.aggregation.operand_copies import COPYING_FUNCTIONS
from quire.errors import DefinitionError

NESTED = "more than 3 nested"
PARSE = """
import resource, sys
import polars as pl
from quire.errors import DefinitionError
from quire.aggregation.measure_expression import parse_expression
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
try:
    rows = pl.DataFrame({"amount": [1], "kind": ["x"]}).clear()
    rows.select(parse_expression(sys.argv[1]).alias("m"))
except DefinitionError:
    print("refused")
"""


def nested(template: str, expression: str, levels: int) -> str:
    """Applies a template to an expression ``levels`` times."""
    for _ in range(levels):
        expression = template.format(expression)
    return expression


HOSTILE = [
    ("amount" + " BETWEEN 1 AND 2" * 18, NESTED),
    (nested("({} BETWEEN 1 AND 2)", "amount", 4), NESTED),
    (nested("NULLIF({},1)", "amount", 4), NESTED),
    (nested("left({},-1)", "kind", 4), NESTED),
    (nested("RIGHT ({},-1)", "kind", 4), NESTED),
    (nested("SPLIT_PART({},'x',1)", "kind", 4), NESTED),
    (nested("CASE {} WHEN 1 THEN 2 END", "amount", 4), NESTED),
    (nested("(NULLIF(CASE {} WHEN 1 THEN 2 END, 3) BETWEEN 1 AND 2)", "amount", 2), NESTED),
    ("1 + " + nested("NULLIF(0 + {},1)", "amount", 4), NESTED),
    (" + ".join(["NULLIF(amount,1)"] * 11), "more than 10 of"),
    (nested("CASE {} " + "WHEN 1 THEN 2 " * 6 + "END", "amount", 2), "CASE with more than 5 WHEN"),
    ("SUM(amount)", r"SUM\(\), which is not allowed"),
    ("amount OVER w", "OVER.*double quotes"),
    (nested("({})", "amount", 11), "more than 10 nested parentheses"),
    (nested("ABS({})", "amount", 11), "more than 10 nested parentheses"),
    ('"LPAD"(kind, 10000000000)', "without quotes"),
    (nested('"nullif"({},1)', "amount", 18), "without quotes"),
    (nested("SUBSTR(kind,STRPOS(kind,'x'),LENGTH({}))", "kind", 4), NESTED),
    (nested("EXTRACT(epoch FROM TIMESTAMP({}))", "kind", 4), NESTED),
    (nested("ARRAY_GET(kind,{})", "amount", 2), r"ARRAY_GET\(\), which is not allowed"),
    (nested("kind[{}]", "amount", 10), r"\["),
    ("amount IN (1, amount)", "amount in an IN list, .* contain only numbers and strings"),
    ("kind IN ('x', LOWER(kind))", "LOWER in an IN list"),
    ("kind IN ('x', (kind))", r"\( in an IN list"),
    ("kind IN ('x', \"kind\")", "in an IN list"),
    ("amount::STRUCT<a INT>", "STRUCT, which is not allowed"),
    ("CAST(amount AS ARRAY<INT>)", "ARRAY, which is not allowed"),
    ("kind < CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP, which is not allowed"),
    ("REPLACE(kind, 'a', 'aaaaaaaa')", r"REPLACE\(\), which"),
]

ARGUMENTS = ("a", "a, b", "a, b, c", "a, 'x'", "a, 1", "a, 1, 2", "a, 'x', 1", "'epoch', a", "a > 0, b, c", "'x', a, b")
OTHER_FORMS = {
    "CAST": "CAST(a AS INT)",
    "TRY_CAST": "TRY_CAST(a AS INT)",
    "EXTRACT": "EXTRACT(epoch FROM a)",
    "POSITION": "POSITION('x' IN a)",
    "a IN list": "a IN (1, -2, 3e1, NULL)",
    "a IN texts": "a IN ('x', 'y')",
    "IS DISTINCT": "a IS DISTINCT FROM b",
    "LIKE": "a LIKE 'x'",
    "||": "a || b",
}


def copies(expression: str) -> int:
    """Counts an operand's copies in Polars' expression tree; the SQL expression contains the operand only once."""
    try:
        tree = str(pl.sql_expr(expression))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return 0
    return max(tree.count(f'col("{name}")') for name in "abc")


def test_functions_that_copy_no_operand_are_those_that_polars_does_not_expand() -> None:
    calls = {name: [f"{name}({arguments})" for arguments in ARGUMENTS] for name in FUNCTIONS}
    most = {name: max(map(copies, [*forms, OTHER_FORMS.get(name, "x")])) for name, forms in calls.items()}
    assert not [name for name, count in most.items() if not count]  # Polars accepts at least one form of each function
    assert {name for name, count in most.items() if count > 1} == COPYING_FUNCTIONS
    assert {copies(form) for name, form in OTHER_FORMS.items() if name not in FUNCTIONS} == {1}


@pytest.mark.parametrize(("expression", "reason"), HOSTILE, ids=range(len(HOSTILE)))
def test_expression_that_copies_operands_is_rejected(expression: str, reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason):
        ensure_expression(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "amount IN (1, -2, 3e5) OR kind IN ('x', NULL)",
        "ROUND(CAST(amount AS DECIMAL(12, 2)) * 100) + LENGTH(UPPER(kind))",
        " AND ".join(["amount BETWEEN 1 AND 2"] * 10),
        "CASE WHEN amount BETWEEN 1 AND 2 THEN 1 WHEN amount BETWEEN 3 AND 4 THEN 2 ELSE 3 END",
        nested("NULLIF({},1)", "amount", 3),
        nested("({})", "amount", 10),
        "CASE amount " + "WHEN 1 THEN 2 " * 60 + "END",
        'left + right + "over"',
        "CASE WHEN NULLIF(amount, 1) IS NULL THEN 0 ELSE COALESCE(LEFT(kind, 2), 'x') END",
    ],
)
def test_ordinary_expression_is_allowed(expression: str) -> None:
    ensure_expression(expression)


@pytest.mark.parametrize("expression", ["kind NOTNULL", "amount cents", "CASE WHEN amount > 1 THEN 2 END discount"])
def test_expression_with_an_alias_is_rejected(expression: str) -> None:
    with pytest.raises(DefinitionError, match="reads as an alias"):
        parse_expression(expression)


@pytest.mark.parametrize("expression", ["kind IS NOT NULL", "amount", "CASE WHEN amount > 1 THEN 2 END", "-amount"])
def test_expression_without_an_alias_is_parsed(expression: str) -> None:
    assert parse_expression(expression) is not None


@pytest.mark.parametrize(
    ("template", "column"), [("SPLIT_PART({},'x',1)", "kind"), ("CASE {} " + "WHEN 1 THEN 2 " * 44 + "END", "amount")]
)
def test_nested_copies_do_not_abort_the_process(template: str, column: str) -> None:
    levels = 22 if column == "kind" else 3
    command = [sys.executable, "-c", PARSE, nested(template, column, levels)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "refused")
