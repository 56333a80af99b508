"""Expressions whose operands Polars copies: refused before the copies take the memory of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from quire.errors import DefinitionError
from quire.measure_expression import ensure_expression

NESTED = "inside each other"
PARSE = """
import resource, sys
import polars as pl
from quire.errors import DefinitionError
from quire.measure_expression import parse_expression
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
try:
    rows = pl.DataFrame({"amount": [1], "kind": ["x"]}).clear()
    rows.select(parse_expression(sys.argv[1]).alias("m"))
except DefinitionError:
    print("refused")
"""


def nested(template: str, expression: str, levels: int) -> str:
    """Returns an expression put into a template, and the result into it again."""
    for _ in range(levels):
        expression = template.format(expression)
    return expression


HOSTILE = [
    ("amount" + " BETWEEN 1 AND 2" * 18, "more than 3 of .* inside"),
    (nested("({} BETWEEN 1 AND 2)", "amount", 4), NESTED),
    (nested("NULLIF({},1)", "amount", 4), NESTED),
    (nested("left({},-1)", "kind", 4), NESTED),
    (nested("RIGHT ({},-1)", "kind", 4), NESTED),
    (nested("SPLIT_PART({},'x',1)", "kind", 4), NESTED),
    (nested("CASE {} WHEN 1 THEN 2 END", "amount", 4), NESTED),
    (nested("(NULLIF(CASE {} WHEN 1 THEN 2 END, 3) BETWEEN 1 AND 2)", "amount", 2), NESTED),
    ("1 + " + nested("NULLIF(0 + {},1)", "amount", 4), NESTED),
    (" + ".join(["NULLIF(amount,1)"] * 11), "more than 10 of"),
    (nested("CASE {} " + "WHEN 1 THEN 2 " * 6 + "END", "amount", 2), "CASE of more than 5 WHEN"),
    ("SUM(amount) OVER ()", "OVER.*double quotes"),
    (nested("({})", "amount", 11), "more than 10 parentheses"),
    (nested("ABS({})", "amount", 11), "more than 10 parentheses"),
    ('"LPAD"(kind, 10000000000)', "without quotes"),
    (nested('"nullif"({},1)', "amount", 18), "without quotes"),
]


@pytest.mark.parametrize(("expression", "reason"), HOSTILE, ids=range(len(HOSTILE)))
def test_expression_that_copies_operands_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason):
        ensure_expression(expression)


@pytest.mark.parametrize(
    "expression",
    [
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


@pytest.mark.parametrize(
    ("template", "column"), [("SPLIT_PART({},'x',1)", "kind"), ("CASE {} " + "WHEN 1 THEN 2 " * 44 + "END", "amount")]
)
def test_nested_copies_do_not_abort_the_process(template: str, column: str) -> None:
    levels = 22 if column == "kind" else 3
    command = [sys.executable, "-c", PARSE, nested(template, column, levels)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "refused")
