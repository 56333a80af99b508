"""Formats values as SQL literals, without depending on connections or process state.

COPY does not accept bind parameters, so values become part of the statement. psycopg's ``Literal.as_string(None)``
quotes values in libpq's process-wide client encoding, which is that of the most recently opened connection. If that
encoding is GBK, BIG5, SJIS or UHC, the second byte of a character may be mistaken for a quote or a backslash. This
module quotes values character by character. This is safe on every connection whose client encoding is UTF8, because
multi-byte characters in UTF-8 do not contain ASCII bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

CLIENT_ENCODING = "UTF8"  # all connections use it


@dataclass(frozen=True, slots=True)
class TypedNull:
    """A NULL with a PostgreSQL type, without which PostgreSQL cannot resolve ``coalesce`` and function calls."""

    pg_type: str


def literal(value: object) -> str:
    """Returns a value as an SQL literal.

    A timezone-aware datetime becomes a ``timestamptz``, and a date becomes a ``date``. A string has the type
    ``unknown``, which PostgreSQL resolves to the other operand's type.

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
    """Returns text as a one-line string literal, which is valid under both settings of ``standard_conforming_strings``.

    Because the literal is one line, the bound statement has the same line numbers as the file.

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
    return f" E'{body}'"  # the space separates the E from the word before it


def _number(value: float | Decimal) -> str:
    if not math.isfinite(value):
        kind = "numeric" if isinstance(value, Decimal) else "float8"
        return f"'{value}'::{kind}"
    text = str(value)
    return f" {text}" if text.startswith("-") else text  # without the space, two minus signs could start a comment
