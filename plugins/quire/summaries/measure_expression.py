"""Expressions of measures: an expression of Polars' SQL over the row's columns, and nothing else.

Polars' SQL also has queries inside expressions, and functions such as ``read_csv`` that open files and URLs. Polars
opens those while it parses, so an expression is checked here first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from quire.errors import DefinitionError, first_line
from quire.summaries.operand_copies import COPYING_FUNCTIONS, copying_refusal

if TYPE_CHECKING:
    import polars as pl

MAX_OPERATORS = 200  # Polars builds a tree as deep as a chain of operators is long; at 400 it has overflowed the stack
# Whatever Polars and SQL dialects read differently (comments, backslashes, dollar quotes, prefixes of literals) is left
# to ``_refusal``: what is taken for text in quotes here must be text in quotes there.
LEXEME = re.compile(
    r"""
      (?P<quoted>   '(?:[^']++|'')*'(?!') | "(?:[^"]++|"")*"(?!") )
    | (?P<word>     [^\W\d]\w*+ )
    | (?P<operator> [-+*/%|<>=!~&^:@?]++ )
    | (?P<other>    \S )
    """,
    re.VERBOSE,
)
WRONG_CHARACTERS = {"'": "a quote that is not closed", '"': "a quote that is not closed"} | {
    character: f"{character}: put a name that has it into double quotes" for character in "`$#\\;[]{}"
}
WORD_OPERATORS = frozenset(
    "AND BETWEEN COLLATE DIV ESCAPE ILIKE IN IS LIKE NOT OR OVERLAPS REGEXP RLIKE SIMILAR WHEN XOR".split()
)
COMMENTS = ("--", "/*")
QUERY_WORDS = {"SELECT", "UNION", "INTERSECT", "EXCEPT"}
# These begin a query only after an opening parenthesis; elsewhere they may be columns.
QUERY_STARTS = {"FROM", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE"}
FUNCTIONS_WITH_FROM = {"EXTRACT", "SUBSTRING", "SUBSTR", "TRIM", "OVERLAY"}
# Functions of one row whose results are hardly longer than their arguments. Polars expands none to several copies of an
# argument except COPYING_FUNCTIONS. Other functions open files, pad texts to any length, or crash.
FUNCTIONS = COPYING_FUNCTIONS | frozenset(
    """
    ABS CBRT CEIL CEILING DIV EXP FLOOR LN LOG LOG10 LOG1P LOG2 MOD POW POWER ROUND SIGN SQRT
    CAST COALESCE GREATEST IF IFNULL LEAST TRY_CAST
    BIT_LENGTH CHARACTER_LENGTH CHAR_LENGTH CONCAT CONCAT_WS ENDS_WITH INITCAP LENGTH LOWER LTRIM OCTET_LENGTH
    POSITION REVERSE RTRIM STARTS_WITH STRPOS TRIM UPPER
    DATE STRFTIME TIMESTAMP
    """.split()
)
TYPES = frozenset("CHAR CHARACTER DEC DECIMAL FLOAT NUMERIC TEXT TIME VARCHAR".split())  # that may have a size
WORDS_BEFORE_PARENTHESES = WORD_OPERATORS | {"CASE", "DISTINCT", "ELSE", "FOR", "FROM", "THEN"}
# Types of more than one value, and the time of the calculation, which stored summaries would keep.
OTHER_WORDS = frozenset(
    "ARRAY ENUM LIST MAP ROW STRUCT CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP".split()
)
LISTED_WORD = re.compile(r"NULL|TRUE|FALSE|E\d*+")  # in a list of IN, whose left side Polars copies for other operands


def parse_expression(expression: str) -> pl.Expr:
    """Returns an expression of a measure.

    Raises:
        DefinitionError: it is not an expression over the row's columns alone.
    """
    import polars as pl

    ensure_expression(expression)
    try:
        parsed = pl.sql_expr(expression)
        has_alias = str(parsed) != str(parsed.meta.undo_aliases())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise not_an_expression(expression, error) from error
    if has_alias:  # what SQL reads as another name for the result, such as x NOTNULL, changes nothing
        raise DefinitionError(f"{expression!r} ends in a word that Polars takes for a name: leave it out")
    return parsed


def not_an_expression(expression: str, error: BaseException) -> DefinitionError:
    """Returns the error for an expression that Polars does not understand."""
    return DefinitionError(f"{expression!r} is not an expression over the query's columns: {first_line(error)}")


def ensure_expression(expression: str) -> None:
    """Checks that an expression contains no query, no table function, and nothing that hides one.

    Raises:
        DefinitionError: it does.
    """
    for reason in _refusals(expression):
        raise DefinitionError(f"{expression!r} has {reason}")
    operators = sum(map(_is_operator, LEXEME.finditer(expression)))
    if operators > MAX_OPERATORS:
        raise DefinitionError(f"an expression with {operators} operators: at most {MAX_OPERATORS} are allowed")
    if refusal := copying_refusal(lexeme.group().upper() for lexeme in LEXEME.finditer(expression)):
        raise DefinitionError(f"{expression!r} has {refusal}. Do such work in source.sql")


def _is_operator(lexeme: re.Match[str]) -> bool:
    """Whether a lexeme makes the tree deeper."""
    text = lexeme.group()
    return lexeme.lastgroup == "operator" or text.upper() in WORD_OPERATORS


def _refusals(expression: str) -> Iterator[str]:
    before = ""  # the word or character before, in capitals
    functions: list[str] = []  # what stands before each open parenthesis
    for lexeme in LEXEME.finditer(expression):
        text = lexeme.group()
        if functions and functions[-1] == "IN":
            yield from _list_refusals(text)
        if lexeme.lastgroup == "word":
            following = expression[lexeme.end() : lexeme.end() + 2]
            yield from _word_refusals(text, following, before=before, functions=functions)
        elif lexeme.lastgroup == "operator":
            yield from (f"{mark}: comments are not allowed" for mark in COMMENTS if mark in text)
        elif text in WRONG_CHARACTERS:
            yield WRONG_CHARACTERS[text]
        elif text == "(":
            yield from _call_refusals(before)
            functions.append(before)
        elif text == ")" and functions:
            functions.pop()
        before = text.upper()


def _call_refusals(name: str) -> Iterator[str]:
    """Gives what is wrong with a word, or another lexeme, right before a parenthesis."""
    if name[:1] == '"':
        yield f"{name} before a parenthesis: write a function's name without quotes"
    is_name = name[:1].isalpha() or name[:1] == "_"
    if is_name and name not in FUNCTIONS | TYPES | WORDS_BEFORE_PARENTHESES:
        yield f"{name}(), which is not allowed here: do such work in source.sql"


def _list_refusals(text: str) -> Iterator[str]:
    is_word = text[:1].isalpha() or text[:1] == "_"
    if (is_word and not LISTED_WORD.fullmatch(text.upper())) or text[:1] in ("(", '"'):
        yield f"{text} in a list of IN, which may only have numbers and texts: use OR, or do such work in source.sql"


def _word_refusals(text: str, following: str, *, before: str, functions: list[str]) -> Iterator[str]:
    word = text.upper()  # as Polars does: a long s becomes S
    if following[:1] in ("'", '"') or following in ("&'", '&"'):
        yield f"{text} right before a quote: put a blank before the quote"
    if word in OTHER_WORDS:
        yield f"{text}, which is not allowed here: do such work in source.sql, or put a column of that name into quotes"
    is_query = word in QUERY_WORDS or (word in QUERY_STARTS and before == "(")
    if is_query or (word == "FROM" and not _is_from_of_function(before, functions)):
        yield (
            f"{word}: it may only use the row's columns. Read other data in source.sql; "
            "put a column of that name into double quotes"
        )


def _is_from_of_function(before: str, functions: list[str]) -> bool:
    """Whether a FROM belongs to IS DISTINCT FROM, or to a function such as EXTRACT(year FROM day)."""
    return before == "DISTINCT" or (bool(functions) and functions[-1] in FUNCTIONS_WITH_FROM)
