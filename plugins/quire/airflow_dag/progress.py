"""Shows a plan task's progress on the run's page in the portal if the task runs all stages."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from quire.stage_threads import StageProgress

logger = logging.getLogger(__name__)

PROGRESS = "progress"  # key of the XCom
PUSH_INTERVAL = 1.0  # seconds; each push is a request to Airflow's API server, and most small runs end before the first
COUNTED = {"extract": "partitions", "render": "files"}


def progress_pusher(ti: Any, *, push_interval: float = PUSH_INTERVAL) -> StageProgress:
    """Returns a function that notes a task's progress, which a thread pushes at intervals if it has changed.

    The XCom contains the stage and, for extract and render, the number of finished units and the total.

    Args:
        ti: the task instance.
        push_interval: the seconds before the first push and between pushes.
    """
    progress: dict[str, str | int] = {}
    lock, has_changed = threading.Lock(), threading.Event()

    def push_changes() -> None:
        while True:
            time.sleep(push_interval)
            has_changed.wait()
            has_changed.clear()
            with lock:
                pushed = dict(progress)
            try:
                ti.xcom_push(PROGRESS, pushed)
            except Exception:  # the run must not depend on its display
                logger.warning("the run's progress cannot be shown", exc_info=True)

    def update(stage: str, done: int, total: int) -> None:
        with lock:
            progress["stage"] = stage
            if unit := COUNTED.get(stage):
                progress.update({f"{unit}_done": done, unit: total})
        has_changed.set()

    threading.Thread(target=push_changes, name="progress", daemon=True).start()  # ends with the process
    return update
