"""JSON whose numbers stay what they are: 0.10 keeps its digits, and so does an integer of any length.

Python's own floats would not; PostgreSQL's numeric and jsonb do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

DEEPEST = 100  # levels of lists and objects: writing them again takes frames of Python's stack
TOO_DEEP = "it is nested too deep"
MAX_EXPONENT = 400  # beyond any double; a few letters must not become a megabyte of digits


def read_json(text: str) -> object:
    """Reads JSON; of a name that stands twice in an object, the last counts, as it does for PostgreSQL's jsonb.

    Raises:
        ValueError: it is no JSON, or nested too deep; NaN and Infinity are none.
    """
    try:
        value = json.loads(text, parse_float=_number, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    level: list[object] = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise ValueError(TOO_DEEP)


def write_json(value: object) -> str:
    """Returns what ``read_json`` read, as text; NUL is left to PostgreSQL to refuse."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{write_json(item)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(write_json, value)) + "]"
    return json.dumps(value, allow_nan=False)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _number(digits: str) -> Decimal:
    out_of_range = f"the number {digits[:40]} is out of range"
    try:
        number = Decimal(digits)
    except InvalidOperation as error:  # an exponent that Decimal itself cannot hold
        raise ValueError(out_of_range) from error
    if abs(number.adjusted()) <= MAX_EXPONENT:
        return number
    if number:
        raise ValueError(out_of_range)
    return Decimal(0)  # a zero keeps its value, and not the thousands of digits that PostgreSQL would print


def _refuse(word: str) -> object:
    raise ValueError(f"{word} is no JSON")
