"""Where a JSON body has a value: ``data.order.id``, ``items[0].sku``, ``data["a.b"]``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

from quire.errors import short_repr

_STEP = re.compile(r'(?:^|(?<=.)\.)(?P<name>[^.\[\]"\s]+)|\[(?P<index>\d{1,6})\]|\["(?P<quoted>[^"]+)"\]')


class Absent(Enum):
    """What there is where a body has no such value: not even null."""

    ABSENT = 0


ABSENT: Final = Absent.ABSENT


@lru_cache(maxsize=1024)
def parse_path(path: str) -> tuple[str | int, ...]:
    """Returns the names and list places (from 0) that lead to a value.

    Raises:
        ValueError: it is no such path.
    """
    steps: list[str | int] = []
    place = 0
    while place < len(path):
        step = _STEP.match(path, place)
        if step is None:
            break
        steps.append(int(step["index"]) if step["index"] else step["name"] or step["quoted"])
        place = step.end()
    if not path or place < len(path) or isinstance(steps[0], int):
        raise ValueError(
            f'is {short_repr(path)}: write names from the body\'s top, such as data.order.id or items[0]["the sku"]'
        )
    return tuple(steps)


def find_value(body: object, path: str) -> object:
    """Returns the value at ``path``, which may be None (JSON's null), or ``ABSENT``."""
    found = body
    for step in parse_path(path):
        if isinstance(step, int):
            if not isinstance(found, Sequence) or isinstance(found, str) or step >= len(found):
                return ABSENT
            found = found[step]
        elif isinstance(found, Mapping) and step in found:
            found = found[step]
        else:
            return ABSENT
    return found
