"""How far one of Airflow's runs is, and why its tasks failed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from quire.airflow_api.client import AirflowApi
from quire.airflow_dag.operator_links import FAILURE, FAILURE_KIND, MAX_ASKED
from quire.airflow_dag.sealing import unverified_count
from quire.airflow_dag.xcom import NOTIFY, STORED
from quire.portal.views import ProgressView
from quire.report.definition import StageName

STAGES: tuple[str, ...] = get_args(StageName)
DONE = {"success", "skipped"}


async def progress_of(api: AirflowApi, report: str, run_id: str, tasks: Sequence[Mapping[str, Any]]) -> ProgressView:
    """Returns how far a run is, from its tasks and what plan and layout returned."""
    planned, stored, laid_out = await asyncio.gather(
        api.xcom(report, run_id, "plan", "return_value"),
        api.xcom(report, run_id, "plan", STORED),
        api.xcom(report, run_id, "layout", "return_value"),
    )
    groups, shards = _counts(planned, "key"), _counts(laid_out, "stem")
    known = unverified_count(stored, "object_key") or 0
    return ProgressView(
        stage=_stage(tasks),
        partitions_done=known + _done(tasks, "extract", groups),
        partitions=None if groups is None else known + sum(groups),
        files_done=_done(tasks, "render", shards),
        files=None if shards is None else sum(shards),
        trouble=(await failure_of(api, report, run_id, tasks, "up_for_retry"))[0],
    )


def _counts(pushed: Any, field: str) -> list[int] | None:
    """Returns how much each task of a mapped stage works on; None where that is unknown, as users can change XComs."""
    if not isinstance(pushed, list):
        return None
    counts = [unverified_count(group, field) for group in pushed]
    return None if None in counts else [count or 0 for count in counts]


def _stage(tasks: Iterable[Mapping[str, Any]]) -> str:
    """Returns the first stage that is not over."""
    open_stages = {task["task_id"] for task in tasks if task["state"] not in DONE}
    return next((stage for stage in STAGES if stage in open_stages), STAGES[-1])


def _done(tasks: Iterable[Mapping[str, Any]], stage: str, counts: Sequence[int] | None) -> int:
    """Returns how many units the finished tasks of a mapped stage had."""
    ended = {task["map_index"] for task in tasks if task["task_id"] == stage and task["state"] == "success"}
    return sum(count for number, count in enumerate(counts or ()) if number in ended)


async def failure_of(
    api: AirflowApi, report: str, run_id: str, tasks: Iterable[Mapping[str, Any]], state: str
) -> tuple[str | None, str | None]:
    """Returns the first recorded failure reason among tasks in ``state``, and the kind of its error."""
    found = [task for task in tasks if task["state"] == state and task["task_id"] != NOTIFY]
    for task in sorted(found, key=lambda task: task["end_date"] or "")[:MAX_ASKED]:
        place = {"map_index": task["map_index"]}
        reason = await api.xcom(report, run_id, task["task_id"], FAILURE, **place)
        if reason:
            kind = await api.xcom(report, run_id, task["task_id"], FAILURE_KIND, **place)
            return str(reason), kind if isinstance(kind, str) else None
    return None, None
