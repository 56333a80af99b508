"""Values as SQL literals, without a connection and without any state of the process.

COPY takes no binds, so values go into the statement itself. psycopg's ``Literal.as_string(None)`` quotes by libpq's
process-wide client encoding, which is that of the connection opened last: beside one in GBK, BIG5, SJIS or UHC, the
second byte of a character may pass for a quote or a backslash. Here a text is quoted by its characters. That holds on
every connection whose client encoding is UTF8, in which no byte of a longer character is an ASCII one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

CLIENT_ENCODING = "UTF8"  # what every connection must be opened with


@dataclass(frozen=True, slots=True)
class TypedNull:
    """A NULL of a PostgreSQL type, one of our own choice: ``coalesce`` and functions resolve by it."""

    pg_type: str


def literal(value: object) -> str:
    """Returns a value as an SQL literal.

    An aware datetime becomes a ``timestamptz``, a date a ``date``. A text stays of unknown type, so that PostgreSQL
    takes the type it is compared with.

    Raises:
        ValueError: PostgreSQL has no such value.
    """
    match value:
        case None:
            return "NULL"
        case TypedNull():
            return f"NULL::{value.pg_type}"
        case bool():
            return "true" if value else "false"
        case str():
            return text_literal(value)
        case int() | float() | Decimal():
            return _number(value)
        case datetime():
            return f"'{value}'::{'timestamp' if value.tzinfo is None else 'timestamptz'}"
        case date():
            return f"'{value}'::date"
    raise ValueError(f"no literal holds a {type(value).__name__}")


def text_literal(text: str) -> str:
    """Returns a text as a string literal of one line that reads the same whatever ``standard_conforming_strings`` is.

    So the bound statement has the lines of its template, and an error's position gives the line of the file.

    Raises:
        ValueError: it has a NUL, or half of a surrogate pair.
    """
    if "\0" in text:
        raise ValueError("PostgreSQL's text cannot hold the character NUL")
    text.encode()  # raises UnicodeEncodeError, a ValueError
    body = text.replace("'", "''")
    if "\\" not in body and "\n" not in body:
        return f"'{body}'"
    body = body.replace("\\", "\\\\").replace("\n", "\\n")
    return f" E'{body}'"  # the blank keeps E apart from a word before it


def _number(value: float | Decimal) -> str:
    if not math.isfinite(value):
        kind = "numeric" if isinstance(value, Decimal) else "float8"
        return f"'{value}'::{kind}"
    text = str(value)
    return f" {text}" if text.startswith("-") else text  # two minus signs would begin a comment
