"""A plan task that runs all stages pushes its progress, but not so often that it slows itself or Airflow down."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from quire.airflow_dag.progress import progress_pusher

WAIT_SECONDS = 10


class TaskInstance:
    """Records the pushed progress."""

    def __init__(self) -> None:
        self.pushed: list[dict[str, Any]] = []
        self.is_pushed = threading.Event()

    def xcom_push(self, key: str, value: dict[str, Any]) -> None:
        """Adds a value of the key ``progress``."""
        assert key == "progress"
        self.pushed.append(value)
        self.is_pushed.set()


def test_short_run_pushes_nothing() -> None:
    ti = TaskInstance()
    push = progress_pusher(ti)
    for stage in ("plan", "extract", "layout", "aggregate", "render", "publish"):
        push(stage, 0, 1)
    assert ti.pushed == []


def test_stage_that_began_in_the_quiet_time_is_pushed_after_it() -> None:
    ti = TaskInstance()
    push = progress_pusher(ti, quiet_seconds=0.1)
    push("extract", 0, 9)
    push("extract", 1, 9)
    assert ti.is_pushed.wait(WAIT_SECONDS)
    assert ti.pushed == [{"stage": "extract", "partitions_done": 1, "partitions": 9}]


def test_every_new_stage_is_pushed_at_once_and_its_units_at_intervals() -> None:
    ti = TaskInstance()
    push = progress_pusher(ti, quiet_seconds=0.01, push_interval=WAIT_SECONDS)
    push("plan", 0, 1)
    assert ti.is_pushed.wait(WAIT_SECONDS)
    push("extract", 1, 9)
    push("extract", 2, 9)
    push("aggregate", 0, 1)
    assert ti.pushed[1:] == [
        {"stage": "extract", "partitions_done": 1, "partitions": 9},
        {"stage": "aggregate", "partitions_done": 2, "partitions": 9},
    ]


def test_failed_push_does_not_fail_the_run(caplog: pytest.LogCaptureFixture) -> None:
    class Unreachable(TaskInstance):
        def xcom_push(self, key: str, value: dict[str, Any]) -> None:
            super().xcom_push(key, value)
            raise ConnectionError("the API server is away")

    ti = Unreachable()
    push = progress_pusher(ti, quiet_seconds=0.01, push_interval=0)
    push("render", 0, 2)
    assert ti.is_pushed.wait(WAIT_SECONDS)
    push("publish", 1, 2)
    assert "the run's progress cannot be shown" in caplog.text
