"""Resolves paths of values in a JSON body: ``data.order.id``, ``items[0].sku``, ``data["a.b"]``.

jmespath is unsuitable. It rejects ``data["a.b"]`` and ``data.order-id``, and returns None both for null,
which is a value here, and for a missing value, which leaves the column unchanged. It also accepts functions and
projections, which a hostile body could make expensive; this grammar has neither.
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
    """The result for a value that the body does not contain, which differs from null."""

    ABSENT = 0


ABSENT: Final = Absent.ABSENT


@lru_cache(maxsize=1024)
def parse_path(path: str) -> tuple[str | int, ...]:
    """Returns the names and list indexes (from 0) of a path.

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
    """Returns the value at ``path``, which may be None (JSON's null), or ``ABSENT``."""
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
