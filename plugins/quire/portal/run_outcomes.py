"""Loads the outcomes of Airflow runs with few API calls. Caches final outcomes."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cachetools import TTLCache

from quire.airflow_api.client import AirflowApi, NotFoundError, RefusedError
from quire.airflow_dag.xcom import NOTIFY, PUBLISH, RETURN_VALUE, publishing_task
from quire.errors import IntegrityError
from quire.human_readable import truncate
from quire.portal.error_messages import MAX_MESSAGE_LENGTH
from quire.portal.run_progress import load_failure, load_progress
from quire.portal.run_requests import OVER
from quire.portal.views import ProgressView, RunState
from quire.record_types.run_result import RunResult
from quire.record_types.serialization import from_json

logger = logging.getLogger(__name__)

STATES: Mapping[str, RunState] = {"queued": "waiting", "running": "running", "success": "done", "failed": "failed"}
CANCELLED = re.compile(r"Cancelled at (\S+) by ")  # the Airflow note on a canceled run
MAX_CALLS = 2  # concurrent calls for each list; leaves capacity for other users
MAX_TASK_PAGES = 10
MAX_CACHED = 10_000  # outcomes of at most about 2 kB each
NO_ACCESS = {401, 403}  # HTTP statuses that concern the caller rather than a single run
MAX_CACHE_SECONDS = 300.0  # callers may see outcomes for this long after they lose access


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A run's outcome.

    Args:
        state: the run's state.
        result: a published run's result without its files, or None if the result is missing or malformed.
        cause: the recorded failure reason, if any.
        kind: the class name of the error that ``cause`` describes.
        progress: an active run's progress.
        is_readable: whether Airflow's records of the run were loaded.
    """

    state: RunState
    result: RunResult | None = None
    cause: str | None = None
    kind: str | None = None
    progress: ProgressView | None = None
    is_readable: bool = True


def is_outcome_final(tasks: Iterable[Mapping[str, Any]]) -> bool:
    """Returns whether all of a run's stages have finished, even if notifications are still pending."""
    stages = [task for task in tasks if task["task_id"] != NOTIFY]
    return bool(stages) and all(task["state"] in OVER for task in stages)


def parse_state(run: Mapping[str, Any]) -> RunState:
    """Returns the state that Airflow reports for a run, regardless of its tasks."""
    cancelled = CANCELLED.match(run["note"] or "")
    if run["state"] == "failed" and cancelled and cancelled[1] >= (run["start_date"] or "")[:19]:
        return "cancelled"  # the run was not restarted after it was canceled
    return STATES.get(run["state"], "waiting")


async def load_outcome(
    report: str, run: Mapping[str, Any], *, api: AirflowApi, tasks: Sequence[Mapping[str, Any]] | None = None
) -> RunOutcome:
    """Returns a run's outcome or progress.

    Args:
        report: the report's name.
        run: the run, as returned by Airflow's API.
        api: Airflow API client that acts on behalf of the caller.
        tasks: failed tasks, and successful plan and publish tasks; None to load them.

    Raises:
        NotFoundError: the run was deleted in the meantime.
    """
    run_id, state = str(run["dag_run_id"]), parse_state(run)
    if tasks is None and state == "running":
        tasks = await _load_tasks_of_active_run(report, run_id, api)
    elif tasks is None:
        tasks = await api.task_instances(report, run_id) if state in ("failed", "cancelled") else []
    is_planned = state == "done" or any((task["task_id"], task["state"]) == ("plan", "success") for task in tasks)
    planned = await api.xcom(report, run_id, "plan", key=RETURN_VALUE) if is_planned else None
    publisher = publishing_task(tasks, planned)
    if publisher:  # regardless of its notifications
        state = "done"
    elif state == "running" and is_outcome_final(tasks):
        state = "failed"
    if state == "done":
        is_small = publisher != PUBLISH and isinstance(planned, dict)
        returned = planned if is_small else await api.xcom(report, run_id, PUBLISH, key=RETURN_VALUE)
        return RunOutcome(state=state, result=_parse_result(returned))
    if state == "running":
        progress = await load_progress(api, report, run_id, tasks=tasks, planned=planned)
        return RunOutcome(state=state, progress=progress)
    if state == "failed":
        cause, kind = await load_failure(api, report, run_id, tasks=tasks, state="failed")
        return RunOutcome(state=state, cause=cause and truncate(cause, MAX_MESSAGE_LENGTH), kind=kind)
    return RunOutcome(state=state)


async def _load_tasks_of_active_run(report: str, run_id: str, api: AirflowApi) -> list[dict[str, Any]]:
    """Returns a run's task instances, but only plan's while no other task can have started.

    Airflow takes four times as long to list all of them, and most requests concern runs that plan is about to publish.
    """
    plan = await api.task_instance(report, run_id, "plan")
    if plan is None or plan["state"] in OVER:
        return await api.task_instances(report, run_id)
    return [plan]


def _parse_result(returned: Any) -> RunResult | None:
    """Returns a run's result without its files, which the manifest contains, because outcomes are cached."""
    try:
        return from_json(RunResult, {**returned, "files": (), "warnings": ()} if isinstance(returned, dict) else None)
    except IntegrityError:
        return None


class RunOutcomes:
    """Loads the outcomes of several runs. Caches final outcomes.

    Args:
        max_task_pages: maximum number of task pages to read for each call and task state.
    """

    def __init__(self, *, max_task_pages: int = MAX_TASK_PAGES) -> None:
        self._max_task_pages = max_task_pages
        self._final: TTLCache[tuple[Any, ...], RunOutcome] = TTLCache(MAX_CACHED, MAX_CACHE_SECONDS)

    async def load(
        self, report: str, runs: Sequence[Mapping[str, Any]], *, api: AirflowApi, user: str
    ) -> dict[str, RunOutcome]:
        """Returns the outcomes by run ID. Omits runs that were deleted in the meantime.

        Final outcomes are cached separately for each user, because users have different permissions in Airflow. If a
        run's tasks or XComs cannot be loaded, its outcome has ``is_readable=False``, so that the other runs remain
        visible.

        Raises:
            RefusedError: the caller is not allowed to read the report's tasks or XComs.
        """
        outcomes = {run["dag_run_id"]: cached for run in runs if (cached := self._final.get(_key(user, report, run)))}
        uncached = [run for run in runs if run["dag_run_id"] not in outcomes]
        ended = [run for run in uncached if parse_state(run) in ("failed", "cancelled")]
        tasks = await self._load_ended_tasks(report, ended, api)
        semaphore = asyncio.Semaphore(MAX_CALLS)

        async def load(run: Mapping[str, Any]) -> None:
            async with semaphore:
                outcome = await load_outcome(report, run, api=api, tasks=tasks.get(run["dag_run_id"]))
            outcomes[run["dag_run_id"]] = outcome
            if run["state"] in ("success", "failed"):
                self._final[_key(user, report, run)] = outcome

        results = await asyncio.gather(*map(load, uncached), return_exceptions=True)
        for run, result in zip(uncached, results, strict=True):
            if result is None or isinstance(result, NotFoundError):
                continue
            if not isinstance(result, Exception) or (isinstance(result, RefusedError) and result.status in NO_ACCESS):
                raise result
            logger.error("%s: the outcome of run %s cannot be loaded", report, run["dag_run_id"], exc_info=result)
            outcomes[run["dag_run_id"]] = RunOutcome(state=parse_state(run), is_readable=False)
        return outcomes

    async def _load_ended_tasks(
        self, report: str, runs: Sequence[Mapping[str, Any]], api: AirflowApi
    ) -> dict[str, list[dict[str, Any]]]:
        """Returns failed tasks, and successful plan and publish tasks, by run. Omits runs with incomplete tasks."""
        if len(runs) < 2:  # loading a single run's tasks separately takes no more calls
            return {}
        times = sorted((run["run_after"] for run in runs), key=datetime.fromisoformat)
        tasks: dict[str, list[dict[str, Any]]] = {run["dag_run_id"]: [] for run in runs}
        is_complete = True
        for state, task_id in (("success", PUBLISH), ("success", "plan"), ("failed", None)):
            page, is_page_complete = await api.tasks_in_state(
                report, state, task_id=task_id, first=times[0], last=times[-1], pages=self._max_task_pages
            )
            is_complete = is_complete and is_page_complete
            for task in page:
                tasks.get(task["dag_run_id"], []).append(task)
        return tasks if is_complete else {run_id: ended for run_id, ended in tasks.items() if ended}


def _key(user: str, report: str, run: Mapping[str, Any]) -> tuple[Any, ...]:
    return user, report, *(run[name] for name in ("dag_run_id", "state", "start_date", "end_date", "note"))
