"""Divides a stage's work among mapped tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

START_SECONDS = 2.0  # what Airflow and imports take per task
MIN_SECONDS = 5.0  # of estimated work per task
MAX_GROUPS = 64  # mapped tasks per stage; each task costs Airflow 0.2 to 0.7 s

Item = TypeVar("Item")


def task_groups(items: Sequence[Item]) -> tuple[tuple[Item, ...], ...]:
    """Divides items into at most ``MAX_GROUPS`` consecutive groups of equal size; the last group may be smaller."""
    size = max(1, math.ceil(len(items) / MAX_GROUPS))
    return tuple(tuple(items[first : first + size]) for first in range(0, len(items), size))


def divide_work(
    items: Iterable[Item], seconds: Callable[[Item], float], *, min_seconds: float = MIN_SECONDS
) -> tuple[tuple[Item, ...], ...]:
    """Divides items into at most ``MAX_GROUPS`` consecutive groups, each with enough work to justify a task.

    Args:
        items: the items, in order.
        seconds: returns an item's estimated work in seconds.
        min_seconds: the minimum work per group; the last group may have less. If there would be too many groups, each
            gets an equal share of the total instead.
    """
    measured = [(item, seconds(item)) for item in items]
    enough = max(min_seconds, sum(own for _, own in measured) / MAX_GROUPS)
    groups, work = list[list[Item]](), enough
    for item, own in measured:
        if work >= enough and len(groups) < MAX_GROUPS:
            groups.append([])
            work = 0.0
        groups[-1].append(item)
        work += own
    return tuple(map(tuple, groups))
