"""Shows a plan task's progress on the run's page in the portal if the task runs all stages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from quire.stage_threads import StageProgress

logger = logging.getLogger(__name__)

PROGRESS = "progress"  # key of the XCom
QUIET_SECONDS = 1.0  # at the start of the task, during which nothing is pushed, because most small runs end by then
PUSH_INTERVAL = 0.5  # seconds; each push is a request to Airflow's API server
COUNTED = {"extract": "partitions", "render": "files"}


def progress_pusher(ti: Any, *, clock: Callable[[], float] = time.monotonic) -> StageProgress:
    """Returns a function that pushes a task's progress: each new stage, and its units at intervals.

    The function pushes nothing during its first second. The XCom contains the stage and, for extract and render, the
    number of finished units and the total.

    Args:
        ti: the task instance.
        clock: returns the time in seconds.
    """
    progress: dict[str, str | int] = {"stage": ""}
    pushed_at, began = 0.0, clock()

    def push(stage: str, done: int, total: int) -> None:
        nonlocal pushed_at
        is_new_stage, progress["stage"] = stage != progress["stage"], stage
        if unit := COUNTED.get(stage):
            progress.update({f"{unit}_done": done, unit: total})
        now = clock()
        if now - began > QUIET_SECONDS and (is_new_stage or now - pushed_at > PUSH_INTERVAL):
            pushed_at = now
            try:
                ti.xcom_push(PROGRESS, dict(progress))
            except Exception:  # the run must not depend on its display
                logger.warning("the run's progress cannot be shown", exc_info=True)

    return push
