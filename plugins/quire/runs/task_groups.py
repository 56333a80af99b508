"""Divides a stage's work among mapped tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

MIN_SECONDS = 5.0  # of estimated work per task, because Airflow and imports take about 2 s per task
MAX_GROUPS = 64  # mapped tasks per stage; each task costs Airflow 0.2 to 0.7 s

Item = TypeVar("Item")


def task_groups(items: Sequence[Item]) -> tuple[tuple[Item, ...], ...]:
    """Divides items into at most ``MAX_GROUPS`` consecutive groups of equal size; the last group may be smaller."""
    size = max(1, math.ceil(len(items) / MAX_GROUPS))
    return tuple(tuple(items[first : first + size]) for first in range(0, len(items), size))


def merge_task_groups(
    groups: Sequence[Sequence[Item]], seconds: Callable[[Item], float], *, min_seconds: float = MIN_SECONDS
) -> tuple[tuple[Item, ...], ...]:
    """Merges adjacent groups so that each has enough work to justify a task.

    Args:
        groups: the groups, in order.
        seconds: returns an item's estimated work in seconds.
        min_seconds: the minimum work per group; the last group may have less.
    """
    merged = list[tuple[Item, ...]]()
    work = min_seconds
    for group in groups:
        if work >= min_seconds:
            merged.append(())
            work = 0.0
        merged[-1] += tuple(group)
        work += sum(map(seconds, group))
    return tuple(merged)
