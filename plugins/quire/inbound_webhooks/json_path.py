"""Finds values in a JSON body by paths such as ``data.order.id``, ``items[0].sku`` and ``data["a.b"]``.

jmespath is unsuitable, because it rejects ``data["a.b"]`` and ``data.order-id``. jmespath also returns None both for
null, which is written to the column, and for a missing value, which leaves the column unchanged. A hostile body could
make jmespath's functions and projections expensive; this grammar has neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from quire.errors import short_repr

_STEP = re.compile(r'(?:^|(?<=.)\.)(?P<name>[^.\[\]"\s]+)|\[(?P<index>\d{1,6})\]|\["(?P<quoted>[^"]+)"\]')


class Absent(Enum):
    """Represents a value that the body does not contain; None represents null."""

    ABSENT = 0


ABSENT: Final = Absent.ABSENT


@lru_cache(maxsize=1024)
def parse_path(path: str) -> tuple[str | int, ...]:
    """Parses a path into names and list indexes (from 0).

    Raises:
        ValueError: the path is invalid.
    """
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            break
        steps.append(int(step["index"]) if step["index"] else step["name"] or step["quoted"])
        position = step.end()
    if not path or position < len(path) or isinstance(steps[0], int):
        raise ValueError(
            f'is {short_repr(path)}: start at the top of the body, as in data.order.id or items[0]["the sku"]'
        )
    return tuple(steps)


def find_value(body: object, path: str) -> object:
    """Returns the value at ``path``, which is None for null and ``ABSENT`` for a missing value."""
    value = body
    for step in parse_path(path):
        if isinstance(step, int):
            if not isinstance(value, Sequence) or isinstance(value, str) or step >= len(value):
                return ABSENT
            value = value[step]
        elif isinstance(value, Mapping) and step in value:
            value = value[step]
        else:
            return ABSENT
    return value
