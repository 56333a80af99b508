"""Skips the tasks for stages that plan has run itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import DownstreamTasksSkipped

from quire.errors import IntegrityError
from quire.report.definition import StageName
from quire.runs.task_groups import MAX_GROUPS

SKIPPED_KEY = "skipmixin_key"  # the key of the XCom that tells Airflow to skip the tasks again if a user clears them
MAPPED_STAGES = ("extract", "render")


def skip_stages(stages: Sequence[StageName]) -> NoReturn:
    """Ends the current task successfully, and has Airflow skip the stages' tasks.

    Airflow keeps the instances of mapped tasks if a user clears a run that fanned out, so these are skipped, too.

    Raises:
        DownstreamTasksSkipped: always; this is how a task asks Airflow to skip other tasks.
    """
    get_current_context()["ti"].xcom_push(SKIPPED_KEY, {"skipped": list(stages)})
    instances = [(stage, index) for stage in MAPPED_STAGES for index in range(MAX_GROUPS)]
    raise DownstreamTasksSkipped(tasks=[*stages, *instances])  # type: ignore[no-untyped-call]


def ensure_not_skipped(stages: Sequence[StageName]) -> None:
    """Checks that Airflow will run the stages, because an earlier attempt at the task may have skipped them.

    Raises:
        IntegrityError: Airflow has skipped a stage.
    """
    context = get_current_context()
    ti: Any = context["ti"]
    if ti.try_number == 1:
        return
    run_id = context["run_id"]
    states = ti.get_task_states(ti.dag_id, task_ids=list(stages), run_ids=[run_id]).get(run_id, {})
    if any(state == "skipped" for state in states.values()):
        raise IntegrityError("Airflow has already skipped this run's other stages: clear all of the run's tasks")
