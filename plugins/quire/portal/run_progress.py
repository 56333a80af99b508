"""An active run's progress, and its tasks' failure reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from quire.airflow_api.client import AirflowApi
from quire.airflow_dag.operator_links import FAILURE, FAILURE_KIND, MAX_REASON_LOOKUPS
from quire.airflow_dag.progress import PROGRESS
from quire.airflow_dag.sealing import unverified_count
from quire.airflow_dag.xcom import CACHED, NOTIFY, RETURN_VALUE
from quire.portal.views import ProgressView
from quire.report.definition import StageName

STAGES: tuple[str, ...] = get_args(StageName)
DONE = {"success", "skipped"}


async def load_progress(
    api: AirflowApi, report: str, run_id: str, *, tasks: Sequence[Mapping[str, Any]], planned: Any
) -> ProgressView:
    """Computes a run's progress from its tasks. Loads only XComs that a task in its current state can have.

    Args:
        api: Airflow API client that acts on behalf of the caller.
        report: the report's name.
        run_id: the run's ID.
        tasks: the run's task instances.
        planned: the plan task's return value, or None if it has not succeeded.
    """
    states = {task["task_id"]: task["state"] for task in tasks}  # plan and layout have one instance each
    trouble = (await load_failure(api, report, run_id, tasks=tasks, state="up_for_retry"))[0]
    if states.get("plan") == "running":
        own = await api.xcom(report, run_id, "plan", key=PROGRESS)
        if isinstance(own, dict):
            return _progress_of_plan(own, trouble)
    is_laid_out = states.get("layout") == "success"
    laid_out = await api.xcom(report, run_id, "layout", key=RETURN_VALUE) if is_laid_out else None
    cached_partitions = await api.xcom(report, run_id, "plan", key=CACHED) if planned is not None else None
    groups, shards = _group_sizes(planned, "key"), _group_sizes(laid_out, "stem")
    cached = unverified_count(cached_partitions, "object_key") or 0
    return ProgressView(
        stage=_current_stage(tasks),
        partitions_done=cached + _count_done(tasks, "extract", groups),
        partitions=None if groups is None else cached + sum(groups),
        files_done=_count_done(tasks, "render", shards),
        files=None if shards is None else sum(shards),
        trouble=trouble,
    )


def _progress_of_plan(pushed: Mapping[str, Any], trouble: str | None) -> ProgressView:
    """Returns the progress of a plan task that runs all stages. Ignores invalid values: users can edit XComs."""
    names = ("partitions_done", "partitions", "files_done", "files")
    counts = {name: count for name in names if isinstance(count := pushed.get(name), int)}
    stage = pushed.get("stage")
    return ProgressView(
        stage=stage if stage in STAGES else "plan",
        partitions_done=counts.get("partitions_done", 0),
        partitions=counts.get("partitions"),
        files_done=counts.get("files_done", 0),
        files=counts.get("files"),
        trouble=trouble,
    )


def _group_sizes(pushed: Any, field: str) -> list[int] | None:
    """Returns the unit count for each task in a mapped stage, or None if the XCom is invalid (users can edit XComs)."""
    if not isinstance(pushed, list):
        return None
    counts = [unverified_count(group, field) for group in pushed]
    return None if None in counts else [count or 0 for count in counts]


def _current_stage(tasks: Iterable[Mapping[str, Any]]) -> str:
    """Returns the first stage with an unfinished task."""
    unfinished = {task["task_id"] for task in tasks if task["state"] not in DONE}
    return next((stage for stage in STAGES if stage in unfinished), STAGES[-1])


def _count_done(tasks: Iterable[Mapping[str, Any]], stage: str, counts: Sequence[int] | None) -> int:
    """Returns the total number of units in a mapped stage's successful tasks."""
    successful = {task["map_index"] for task in tasks if task["task_id"] == stage and task["state"] == "success"}
    return sum(count for number, count in enumerate(counts or ()) if number in successful)


async def load_failure(
    api: AirflowApi, report: str, run_id: str, *, tasks: Iterable[Mapping[str, Any]], state: str
) -> tuple[str | None, str | None]:
    """Returns the first failure reason recorded by a task in ``state``, and the name of its error class."""
    candidates = [task for task in tasks if task["state"] == state and task["task_id"] != NOTIFY]
    for task in sorted(candidates, key=lambda task: task["end_date"] or "")[:MAX_REASON_LOOKUPS]:
        instance = {"map_index": task["map_index"]}
        reason = await api.xcom(report, run_id, task["task_id"], key=FAILURE, **instance)
        if reason:
            kind = await api.xcom(report, run_id, task["task_id"], key=FAILURE_KIND, **instance)
            return str(reason), kind if isinstance(kind, str) else None
    return None, None
