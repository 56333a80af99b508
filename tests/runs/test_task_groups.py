"""Dividing a stage's work among tasks."""

from __future__ import annotations

import pytest
from quire.runs.task_groups import MAX_GROUPS, merge_task_groups, task_groups


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (64, [1] * 64), (65, [2] * 32 + [1]), (200, [4] * 50)])
def test_task_groups_have_equal_sizes_and_are_at_most_64(count: int, sizes: list[int]) -> None:
    groups = task_groups(range(count))
    assert [len(group) for group in groups] == sizes
    assert len(groups) <= MAX_GROUPS
    assert [item for group in groups for item in group] == list(range(count))


@pytest.mark.parametrize(
    ("seconds", "merged"),
    [
        ([], []),
        ([1, 1, 1], [[1, 1, 1]]),
        ([5, 5], [[5], [5]]),
        ([2, 2, 2, 9, 1], [[2, 2, 2], [9], [1]]),
        ([0, 0, 7, 0], [[0, 0, 7], [0]]),
    ],
)
def test_merge_groups_closes_a_group_once_it_has_enough_work(seconds: list[float], merged: list[list[float]]) -> None:
    groups = merge_task_groups([[item] for item in seconds], lambda item: item, min_seconds=5)
    assert [list(group) for group in groups] == merged
