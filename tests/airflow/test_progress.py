"""A plan task that runs all stages pushes its progress, but not so often that it slows itself or Airflow down."""

from __future__ import annotations

from typing import Any

import pytest
from quire.airflow_dag.progress import progress_pusher


class TaskInstance:
    """Records the pushed progress."""

    def __init__(self) -> None:
        self.pushed: list[dict[str, Any]] = []

    def xcom_push(self, key: str, value: dict[str, Any]) -> None:
        """Adds a value of the key ``progress``."""
        assert key == "progress"
        self.pushed.append(value)


def pushed_by(*steps: tuple[float, str, int, int]) -> list[dict[str, Any]]:
    """Returns what is pushed if each step (seconds since the start, stage, units done, units) is reported in turn."""
    ti, now = TaskInstance(), [0.0]
    push = progress_pusher(ti, clock=lambda: now[0])
    for seconds, stage, done, total in steps:
        now[0] = seconds
        push(stage, done, total)
    return ti.pushed


def test_short_run_pushes_nothing() -> None:
    assert pushed_by((0.1, "plan", 0, 1), (0.3, "extract", 1, 1), (0.9, "publish", 1, 1)) == []


def test_every_new_stage_is_pushed_and_its_units_at_most_twice_a_second() -> None:
    steps = [(1.1, "extract", 1, 9), (1.2, "extract", 2, 9), (1.7, "extract", 3, 9), (1.8, "aggregate", 0, 1)]
    assert pushed_by(*steps) == [
        {"stage": "extract", "partitions_done": 1, "partitions": 9},
        {"stage": "extract", "partitions_done": 3, "partitions": 9},
        {"stage": "aggregate", "partitions_done": 3, "partitions": 9},
    ]


def test_stage_that_began_in_the_first_second_is_pushed_later() -> None:
    assert [progress["stage"] for progress in pushed_by((0.5, "render", 0, 4), (2.0, "render", 1, 4))] == ["render"]


def test_failed_push_does_not_fail_the_run(caplog: pytest.LogCaptureFixture) -> None:
    class Unreachable(TaskInstance):
        def xcom_push(self, key: str, value: dict[str, Any]) -> None:
            raise ConnectionError("the API server is away")

    times = iter((0.0, 2.0))
    progress_pusher(Unreachable(), clock=lambda: next(times))("render", 1, 2)
    assert "the run's progress cannot be shown" in caplog.text
