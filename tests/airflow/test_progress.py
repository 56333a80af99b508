"""A plan task that runs all stages pushes its progress, but not so often that it slows itself or Airflow down."""

from __future__ import annotations

import queue
from typing import Any

import pytest
from quire.airflow_dag.progress import progress_pusher

WAIT_SECONDS = 10
NO_PUSH_SECONDS = 0.3


class TaskInstance:
    """Records the pushed progress."""

    def __init__(self) -> None:
        self.pushed: queue.Queue[dict[str, Any]] = queue.Queue()

    def xcom_push(self, key: str, value: dict[str, Any]) -> None:
        """Adds a value of the key ``progress``."""
        assert key == "progress"
        self.pushed.put(value)


def test_short_run_pushes_nothing() -> None:
    ti = TaskInstance()
    update = progress_pusher(ti)
    for stage in ("plan", "extract", "layout", "aggregate", "render", "publish"):
        update(stage, 0, 1)
    assert ti.pushed.empty()


def test_changes_within_an_interval_are_pushed_together_after_it() -> None:
    ti = TaskInstance()
    update = progress_pusher(ti, push_interval=0.1)
    update("extract", 0, 9)
    update("extract", 1, 9)
    assert ti.pushed.get(timeout=WAIT_SECONDS) == {"stage": "extract", "partitions_done": 1, "partitions": 9}
    update("aggregate", 0, 1)
    assert ti.pushed.get(timeout=WAIT_SECONDS) == {"stage": "aggregate", "partitions_done": 1, "partitions": 9}


def test_unchanged_progress_is_not_pushed_again() -> None:
    ti = TaskInstance()
    progress_pusher(ti, push_interval=0.01)("render", 0, 2)
    assert ti.pushed.get(timeout=WAIT_SECONDS)["stage"] == "render"
    with pytest.raises(queue.Empty):
        ti.pushed.get(timeout=NO_PUSH_SECONDS)


def test_failed_push_does_not_fail_the_run_or_later_pushes(caplog: pytest.LogCaptureFixture) -> None:
    class Unreachable(TaskInstance):
        def xcom_push(self, key: str, value: dict[str, Any]) -> None:
            super().xcom_push(key, value)
            raise ConnectionError("the API server is away")

    ti = Unreachable()
    update = progress_pusher(ti, push_interval=0.01)
    update("render", 0, 2)
    assert ti.pushed.get(timeout=WAIT_SECONDS)["stage"] == "render"
    update("publish", 1, 2)
    assert ti.pushed.get(timeout=WAIT_SECONDS)["stage"] == "publish"
    assert "the run's progress cannot be shown" in caplog.text
