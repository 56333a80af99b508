"""Reads and writes JSON without losing digits: 0.10 stays 0.10, and integers can have any length.

Decimal numbers are not parsed as floats, which would lose digits that PostgreSQL's numeric and jsonb keep.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

MAX_DEPTH = 100  # nested lists and objects; ``write_json`` is recursive
TOO_DEEP = "it is nested too deeply"
MAX_EXPONENT = 400  # larger than the exponent of any double; a short string cannot expand to many digits


def read_json(text: str) -> object:
    """Parses JSON. If an object repeats a name, the last value wins, as in PostgreSQL's jsonb.

    Raises:
        ValueError: the text is not valid JSON (such as NaN and Infinity) or is nested too deeply.
    """
    try:
        value = json.loads(text, parse_float=_parse_number, parse_constant=_reject_constant)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return value
    raise ValueError(TOO_DEEP)


def write_json(value: object) -> str:
    """Serializes a value that ``read_json`` returned. Does not reject NUL characters, because PostgreSQL does."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{write_json(item)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(write_json, value)) + "]"
    return json.dumps(value, allow_nan=False)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _parse_number(digits: str) -> Decimal:
    out_of_range = f"the number {digits[:40]} is out of range"
    try:
        number = Decimal(digits)
    except InvalidOperation as error:  # the exponent exceeds Decimal's own limit
        raise ValueError(out_of_range) from error
    if abs(number.adjusted()) <= MAX_EXPONENT:
        return number
    if number:
        raise ValueError(out_of_range)
    return Decimal(0)  # PostgreSQL would print 0e-5000 with 5,000 digits


def _reject_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")
