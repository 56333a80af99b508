"""Parses measure expressions, which are Polars SQL over a row's columns.

Inside expressions, Polars SQL also allows queries and functions such as ``read_csv`` that open files and URLs. Polars
opens the files and URLs while it parses an expression, so this module checks each expression first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from quire.aggregation.operand_copies import COPYING_FUNCTIONS, find_excessive_copying
from quire.errors import DefinitionError, first_line

if TYPE_CHECKING:
    import polars as pl

MAX_OPERATORS = 200  # Polars builds a tree as deep as the chain of operators; 400 operators overflowed the stack
# Quire and Polars must agree on which text is quoted. Syntax that SQL dialects read differently (comments, backslashes,
# dollar quotes, literal prefixes) is therefore not a lexeme, and ``_violations`` rejects it.
LEXEME = re.compile(
    r"""
      (?P<quoted>   '(?:[^']++|'')*'(?!') | "(?:[^"]++|"")*"(?!") )
    | (?P<word>     [^\W\d]\w*+ )
    | (?P<operator> [-+*/%|<>=!~&^:@?]++ )
    | (?P<other>    \S )
    """,
    re.VERBOSE,
)
WRONG_CHARACTERS = {"'": "an unclosed quote", '"': "an unclosed quote"} | {
    character: f"{character}: if it is part of a name, put the name in double quotes" for character in "`$#\\;[]{}"
}
WORD_OPERATORS = frozenset(
    "AND BETWEEN COLLATE DIV ESCAPE ILIKE IN IS LIKE NOT OR OVERLAPS REGEXP RLIKE SIMILAR WHEN XOR".split()
)
COMMENTS = ("--", "/*")
QUERY_WORDS = {"SELECT", "UNION", "INTERSECT", "EXCEPT"}
# These words start a query only after an opening parenthesis; elsewhere they can be column names.
QUERY_STARTS = {"FROM", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE"}
FUNCTIONS_WITH_FROM = {"EXTRACT", "SUBSTRING", "SUBSTR", "TRIM", "OVERLAY"}
# Scalar functions whose results are not much longer than their arguments. Only COPYING_FUNCTIONS make Polars copy an
# argument. Other functions open files, pad strings to any length, or crash.
FUNCTIONS = COPYING_FUNCTIONS | frozenset(
    """
    ABS CBRT CEIL CEILING DIV EXP FLOOR LN LOG LOG10 LOG1P LOG2 MOD POW POWER ROUND SIGN SQRT
    CAST COALESCE GREATEST IF IFNULL LEAST TRY_CAST
    BIT_LENGTH CHARACTER_LENGTH CHAR_LENGTH CONCAT CONCAT_WS ENDS_WITH INITCAP LENGTH LOWER LTRIM OCTET_LENGTH
    POSITION REVERSE RTRIM STARTS_WITH STRPOS TRIM UPPER
    DATE STRFTIME TIMESTAMP
    """.split()
)
# A size in parentheses can follow these types.
TYPES = frozenset("CHAR CHARACTER DEC DECIMAL FLOAT NUMERIC TEXT TIME VARCHAR".split())
WORDS_BEFORE_PARENTHESES = WORD_OPERATORS | {"CASE", "DISTINCT", "ELSE", "FOR", "FROM", "THEN"}
# Types that hold several values, and functions that return the current time, which would be stale in a summary.
OTHER_WORDS = frozenset(
    "ARRAY ENUM LIST MAP ROW STRUCT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP".split()
)
# Words that an IN list can contain. For any other word, Polars copies the left operand.
LISTED_WORD = re.compile(r"NULL|TRUE|FALSE|E\d*+")


def parse_expression(expression: str) -> pl.Expr:
    """Parses a measure's expression.

    Raises:
        DefinitionError: the text is not a valid expression over a row's columns.
    """
    ensure_expression(expression)  # must come first, because Polars would run a query while parsing it
    import polars as pl

    try:
        parsed = pl.sql_expr(expression)
        has_alias = str(parsed) != str(parsed.meta.undo_aliases())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise not_an_expression(expression, error) from error
    if has_alias:  # Polars reads x NOTNULL as x AS NOTNULL
        raise DefinitionError(f"{expression!r} ends with a word that Polars reads as an alias: remove it")
    return parsed


def not_an_expression(expression: str, error: BaseException) -> DefinitionError:
    """Returns the error for an expression that Polars does not understand."""
    return DefinitionError(f"{expression!r} is not an expression over the query's columns: {first_line(error)}")


def ensure_expression(expression: str) -> None:
    """Checks that an expression contains no query, no table function and no syntax that could hide one of them.

    Raises:
        DefinitionError: the expression contains one of these, has too many operators, or copies too many operands.
    """
    for violation in _violations(expression):
        raise DefinitionError(f"{expression!r} contains {violation}")
    operators = sum(map(_is_operator, LEXEME.finditer(expression)))
    if operators > MAX_OPERATORS:
        raise DefinitionError(f"the expression has {operators} operators: at most {MAX_OPERATORS} are allowed")
    if excess := find_excessive_copying(lexeme.group().upper() for lexeme in LEXEME.finditer(expression)):
        raise DefinitionError(f"{expression!r} contains {excess}. Compute this in source.sql")


def _is_operator(lexeme: re.Match[str]) -> bool:
    """Returns whether a lexeme adds a level to the expression tree."""
    text = lexeme.group()
    return lexeme.lastgroup == "operator" or text.upper() in WORD_OPERATORS


def _violations(expression: str) -> Iterator[str]:
    before = ""  # the previous lexeme in upper case
    functions: list[str] = []  # the lexeme before each open parenthesis
    for lexeme in LEXEME.finditer(expression):
        text = lexeme.group()
        if functions and functions[-1] == "IN":
            yield from _list_violations(text)
        if lexeme.lastgroup == "word":
            following = expression[lexeme.end() : lexeme.end() + 2]
            yield from _word_violations(text, following, before=before, functions=functions)
        elif lexeme.lastgroup == "operator":
            yield from (f"{mark}: comments are not allowed" for mark in COMMENTS if mark in text)
        elif text in WRONG_CHARACTERS:
            yield WRONG_CHARACTERS[text]
        elif text == "(":
            yield from _call_violations(before)
            functions.append(before)
        elif text == ")" and functions:
            functions.pop()
        before = text.upper()


def _call_violations(name: str) -> Iterator[str]:
    """Yields violations for a lexeme that directly precedes a parenthesis."""
    if name[:1] == '"':
        yield f"{name} before a parenthesis: write a function's name without quotes"
    is_name = name[:1].isalpha() or name[:1] == "_"
    if is_name and name not in FUNCTIONS | TYPES | WORDS_BEFORE_PARENTHESES:
        yield f"{name}(), which is not allowed here: compute it in source.sql"


def _list_violations(text: str) -> Iterator[str]:
    is_word = text[:1].isalpha() or text[:1] == "_"
    if (is_word and not LISTED_WORD.fullmatch(text.upper())) or text[:1] in ("(", '"'):
        yield f"{text} in an IN list, which can contain only numbers and strings: use OR, or compute it in source.sql"


def _word_violations(text: str, following: str, *, before: str, functions: list[str]) -> Iterator[str]:
    word = text.upper()  # like Polars, Python converts a long s to S
    if following[:1] in ("'", '"') or following in ("&'", '&"'):
        yield f"{text} directly before a quote: put a space before the quote"
    if word in OTHER_WORDS:
        yield f"{text}, which is not allowed here: compute it in source.sql, or put a column with this name in quotes"
    is_query = word in QUERY_WORDS or (word in QUERY_STARTS and before == "(")
    if is_query or (word == "FROM" and not _is_from_of_function(before, functions)):
        yield (
            f"{word}: an expression can use only a row's columns. Read other data in source.sql; "
            "put a column with this name in double quotes"
        )


def _is_from_of_function(before: str, functions: list[str]) -> bool:
    """Returns whether a FROM belongs to IS DISTINCT FROM or to a function such as EXTRACT(year FROM day)."""
    return before == "DISTINCT" or (bool(functions) and functions[-1] in FUNCTIONS_WITH_FROM)
