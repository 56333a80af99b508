"""Shows a plan task's progress on the run's page in the portal if the task runs all stages."""

from __future__ import annotations

import logging
import time
from typing import Any

from airflow.sdk import get_current_context

from quire.stage_threads import StageProgress

logger = logging.getLogger(__name__)

PROGRESS = "progress"  # key of the XCom
PUSH_INTERVAL = 0.5  # seconds; each push is a request to Airflow's API server
COUNTED = {"extract": "partitions", "render": "files"}


def progress_pusher() -> StageProgress:
    """Returns a function that pushes the current task's progress: each new stage, and its units at intervals.

    The XCom contains the stage and, for extract and render, the number of finished units and the total.
    """
    ti: Any = get_current_context()["ti"]
    progress: dict[str, str | int] = {"stage": ""}
    pushed_at = 0.0

    def push(stage: str, done: int, total: int) -> None:
        nonlocal pushed_at
        is_new_stage, progress["stage"] = stage != progress["stage"], stage
        if unit := COUNTED.get(stage):
            progress.update({f"{unit}_done": done, unit: total})
        if is_new_stage or time.monotonic() - pushed_at > PUSH_INTERVAL:
            pushed_at = time.monotonic()
            try:
                ti.xcom_push(PROGRESS, dict(progress))
            except Exception:  # the run must not depend on its display
                logger.warning("the run's progress cannot be shown", exc_info=True)

    return push
