"""Divides the work of a stage among mapped tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

MAX_GROUPS = 64  # mapped tasks per stage; each task costs Airflow 0.2 to 0.7 s

Item = TypeVar("Item")


def task_groups(items: Sequence[Item]) -> tuple[tuple[Item, ...], ...]:
    """Divides items into at most ``MAX_GROUPS`` consecutive groups of equal size; the last group may be smaller."""
    size = max(1, math.ceil(len(items) / MAX_GROUPS))
    return tuple(tuple(items[first : first + size]) for first in range(0, len(items), size))
