"""Shows a plan task's progress on the run's page in the portal if the task runs all stages."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from quire.stage_threads import StageProgress

logger = logging.getLogger(__name__)

PROGRESS = "progress"  # key of the XCom
QUIET_SECONDS = 1.0  # at the start of the task, during which nothing is pushed, because most small runs end by then
PUSH_INTERVAL = 0.5  # seconds; each push is a request to Airflow's API server
COUNTED = {"extract": "partitions", "render": "files"}


def progress_pusher(
    ti: Any, *, quiet_seconds: float = QUIET_SECONDS, push_interval: float = PUSH_INTERVAL
) -> StageProgress:
    """Returns a function that pushes a task's progress: each new stage, and its units at intervals.

    Pushes nothing at first, and then the progress so far. The XCom contains the stage and, for extract and render, the
    number of finished units and the total.

    Args:
        ti: the task instance.
        quiet_seconds: the seconds during which nothing is pushed.
        push_interval: the minimum number of seconds between pushes about one stage.
    """
    progress: dict[str, str | int] = {}
    is_quiet, pushed_at, lock = True, 0.0, threading.Lock()

    def push() -> None:
        nonlocal pushed_at
        pushed_at = time.monotonic()
        try:
            ti.xcom_push(PROGRESS, dict(progress))
        except Exception:  # the run must not depend on its display
            logger.warning("the run's progress cannot be shown", exc_info=True)

    def end_quiet_time() -> None:
        nonlocal is_quiet
        with lock:
            is_quiet = False
            if progress:
                push()

    timer = threading.Timer(quiet_seconds, end_quiet_time)
    timer.daemon = True  # the task may end first
    timer.start()

    def update(stage: str, done: int, total: int) -> None:
        with lock:
            is_new_stage, progress["stage"] = stage != progress.get("stage"), stage
            if unit := COUNTED.get(stage):
                progress.update({f"{unit}_done": done, unit: total})
            if not is_quiet and (is_new_stage or time.monotonic() - pushed_at > push_interval):
                push()

    return update
