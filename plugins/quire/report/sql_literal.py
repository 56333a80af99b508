"""Formats values as SQL literals, independently of connections and process state.

COPY accepts no bind parameters, so values become part of the statement. psycopg's ``Literal.as_string(None)`` quotes
according to libpq's process-wide client encoding, which the most recently opened connection determines. If it is GBK,
BIG5, SJIS or UHC, the second byte of a character may be read as a quote or backslash. This module quotes character by
character, which is safe on every connection with client encoding UTF8, in which multi-byte characters contain no ASCII
bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

CLIENT_ENCODING = "UTF8"  # of every connection


@dataclass(frozen=True, slots=True)
class TypedNull:
    """A NULL with a PostgreSQL type; without the type, PostgreSQL cannot resolve ``coalesce`` and function calls."""

    pg_type: str


def literal(value: object) -> str:
    """Returns a value as an SQL literal.

    A timezone-aware datetime becomes a ``timestamptz``, a date a ``date``. Text has the type ``unknown``: PostgreSQL
    resolves it to the type of the other operand.

    Raises:
        ValueError: PostgreSQL cannot represent the value.
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
    raise ValueError(f"no SQL literal for type {type(value).__name__}")


def text_literal(text: str) -> str:
    """Returns text as a one-line string literal that is valid with either setting of ``standard_conforming_strings``.

    The bound statement keeps its template's line numbers, so positions in errors map to lines of the file.

    Raises:
        ValueError: the text contains NUL or an unpaired surrogate.
    """
    if "\0" in text:
        raise ValueError("PostgreSQL text cannot contain NUL")
    text.encode()  # raises UnicodeEncodeError, a ValueError
    body = text.replace("'", "''")
    if "\\" not in body and "\n" not in body:
        return f"'{body}'"
    body = body.replace("\\", "\\\\").replace("\n", "\\n")
    return f" E'{body}'"  # the space separates E from a preceding word


def _number(value: float | Decimal) -> str:
    if not math.isfinite(value):
        kind = "numeric" if isinstance(value, Decimal) else "float8"
        return f"'{value}'::{kind}"
    text = str(value)
    return f" {text}" if text.startswith("-") else text  # two minus signs would start a comment
