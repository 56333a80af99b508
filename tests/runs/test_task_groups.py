"""Dividing a stage's work among tasks."""

from __future__ import annotations

import pytest
from quire.runs.task_groups import MAX_GROUPS, divide_work, task_groups


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (64, [1] * 64), (65, [2] * 32 + [1]), (200, [4] * 50)])
def test_task_groups_have_equal_sizes_and_are_at_most_64(count: int, sizes: list[int]) -> None:
    groups = task_groups(range(count))
    assert [len(group) for group in groups] == sizes
    assert len(groups) <= MAX_GROUPS
    assert [item for group in groups for item in group] == list(range(count))


@pytest.mark.parametrize(
    ("seconds", "divided"),
    [
        ([], []),
        ([1, 1, 1], [[1, 1, 1]]),
        ([5, 5], [[5], [5]]),
        ([2, 2, 2, 9, 1], [[2, 2, 2], [9], [1]]),
        ([0, 0, 7, 0], [[0, 0, 7], [0]]),
    ],
)
def test_group_ends_once_it_has_enough_work(seconds: list[float], divided: list[list[float]]) -> None:
    groups = divide_work(seconds, lambda item: item, min_seconds=5)
    assert [list(group) for group in groups] == divided


def test_groups_share_more_than_64_items_by_work_and_not_by_number() -> None:
    seconds = [0.5] * 120 + [60.0] * 8
    groups = divide_work(seconds, lambda item: item, min_seconds=5)
    assert max(map(sum, groups)) < 70  # the mean of 64 groups, plus the largest item
    assert [item for group in groups for item in group] == seconds


@pytest.mark.parametrize("seconds", [[6.0] * 1_000, [0.1] * 10_000, [1e6, *[0.0] * 1_000]])
def test_groups_are_at_most_64(seconds: list[float]) -> None:
    groups = divide_work(seconds, lambda item: item, min_seconds=5)
    assert len(groups) <= MAX_GROUPS
    assert sum(map(len, groups)) == len(seconds)
