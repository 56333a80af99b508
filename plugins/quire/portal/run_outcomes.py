"""Outcomes of Airflow's runs: read with few calls for a whole list, and cached for a while once final."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cachetools import TTLCache
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from quire.airflow_api.client import AirflowApi, NotFoundError, RefusedError
from quire.airflow_dag.xcom import NOTIFY, PUBLISH, is_published
from quire.portal.error_messages import MAX_REASON_LENGTH, shorten
from quire.portal.run_progress import failure_of, progress_of
from quire.portal.run_requests import OVER
from quire.portal.views import ProgressView, RunState
from quire.records.manifest import RUN_KEY

logger = logging.getLogger(__name__)

STATES: Mapping[str, RunState] = {"queued": "waiting", "running": "running", "success": "done", "failed": "failed"}
CANCELLED = re.compile(r"Cancelled at (\S+) by ")  # the note of a run that somebody has ended
MAX_CALLS = 3  # of one list at once: the other places of Airflow's API are for others
MAX_TASK_PAGES = 10  # of a list's tasks in one state
MAX_CACHED = 10_000  # outcomes, of at most some 2 kB each
NO_ACCESS = {401, 403}  # statuses that concern the caller, not one run
MAX_CACHE_SECONDS = 300.0  # that a caller who lost their rights still sees what came of runs they may list


class Returned(BaseModel):
    """The part of publish's return value that the portal needs."""

    run: str = Field(pattern=f"^{RUN_KEY}$")
    reused: bool
    published_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a run.

    Args:
        state: of the run.
        returned: by publish; None where Airflow does not know it.
        cause: why it failed, if it did and a task said so.
        kind: the name of that error's class.
        progress: of a run that is active.
        is_readable: whether what Airflow keeps of the run could be read.
    """

    state: RunState
    returned: Returned | None = None
    cause: str | None = None
    kind: str | None = None
    progress: ProgressView | None = None
    is_readable: bool = True


_FINAL: TTLCache[tuple[Any, ...], Outcome] = TTLCache(MAX_CACHED, MAX_CACHE_SECONDS)


def is_decided(tasks: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a run's outcome is certain, and only its notifications are left."""
    stages = [task for task in tasks if task["task_id"] != NOTIFY]
    return bool(stages) and all(task["state"] in OVER for task in stages)


def state_of(run: Mapping[str, Any]) -> RunState:
    """Returns the state of a run as Airflow describes it, whatever its tasks say."""
    cancelled = CANCELLED.match(run["note"] or "")
    if run["state"] == "failed" and cancelled and cancelled[1] >= (run["start_date"] or "")[:19]:
        return "cancelled"  # and not failed once more after it was started again
    return STATES.get(run["state"], "waiting")


async def outcome_of(
    report: str, run: Mapping[str, Any], *, api: AirflowApi, tasks: Sequence[Mapping[str, Any]] | None = None
) -> Outcome:
    """Returns the outcome of a run, or its progress.

    Args:
        report: whose run it is.
        run: as Airflow describes it.
        api: the caller's.
        tasks: those of the run that failed or published it; None where they are still to be asked for.

    Raises:
        NotFoundError: it was deleted this moment.
    """
    run_id, state = str(run["dag_run_id"]), state_of(run)
    if tasks is None:
        tasks = await api.task_instances(report, run_id) if state in ("running", "failed", "cancelled") else []
    if is_published(tasks):  # whatever comes of telling those who want to know
        state = "done"
    elif state == "running" and is_decided(tasks):
        state = "failed"
    if state == "done":
        pushed = await api.xcom(report, run_id, PUBLISH, "return_value")
        return Outcome(state=state, returned=_returned(pushed))
    if state == "running":
        return Outcome(state=state, progress=await progress_of(api, report, run_id, tasks))
    if state == "failed":
        cause, kind = await failure_of(api, report, run_id, tasks, "failed")
        return Outcome(state=state, cause=cause and shorten(cause, MAX_REASON_LENGTH), kind=kind)
    return Outcome(state=state)


def _returned(pushed: Any) -> Returned | None:
    try:
        return Returned.model_validate(pushed)
    except ValidationError:
        return None


async def outcomes_of(
    report: str, runs: Sequence[Mapping[str, Any]], *, api: AirflowApi, user: str
) -> dict[str, Outcome]:
    """Returns the outcome of each run of a list by its id, without runs that were deleted meanwhile.

    Final outcomes are cached for each user, because Airflow checks what each user may read. A run whose tasks or XComs
    cannot be read has an outcome that says so, so that it does not hide the other runs.

    Raises:
        RefusedError: the caller may not read the report's tasks or XComs.
    """
    outcomes = {run["dag_run_id"]: kept for run in runs if (kept := _FINAL.get(_key(user, report, run)))}
    unknown = [run for run in runs if run["dag_run_id"] not in outcomes]
    tasks = await _ended_tasks(report, [run for run in unknown if state_of(run) in ("failed", "cancelled")], api)
    few = asyncio.Semaphore(MAX_CALLS)

    async def ask(run: Mapping[str, Any]) -> None:
        async with few:
            outcome = await outcome_of(report, run, api=api, tasks=tasks.get(run["dag_run_id"]))
        outcomes[run["dag_run_id"]] = outcome
        if run["state"] in ("success", "failed"):
            _FINAL[_key(user, report, run)] = outcome

    answers = await asyncio.gather(*map(ask, unknown), return_exceptions=True)
    for run, answer in zip(unknown, answers, strict=True):
        if answer is None or isinstance(answer, NotFoundError):
            continue
        if not isinstance(answer, Exception) or (isinstance(answer, RefusedError) and answer.status in NO_ACCESS):
            raise answer
        logger.error("%s: the outcome of run %s cannot be read", report, run["dag_run_id"], exc_info=answer)
        outcomes[run["dag_run_id"]] = Outcome(state=state_of(run), is_readable=False)
    return outcomes


def _key(user: str, report: str, run: Mapping[str, Any]) -> tuple[Any, ...]:
    return user, report, *(run[name] for name in ("dag_run_id", "state", "start_date", "end_date", "note"))


async def _ended_tasks(
    report: str, runs: Sequence[Mapping[str, Any]], api: AirflowApi
) -> dict[str, list[dict[str, Any]]]:
    """Returns the tasks that failed and those that published, by run; without runs for which it does not suffice."""
    if len(runs) < 2:  # its own tasks are as few calls
        return {}
    times = sorted((run["run_after"] for run in runs), key=datetime.fromisoformat)
    tasks: dict[str, list[dict[str, Any]]] = {run["dag_run_id"]: [] for run in runs}
    are_all = True
    for state, task_id in (("success", PUBLISH), ("failed", None)):
        read, is_complete = await api.tasks_in_state(
            report, state, task_id=task_id, first=times[0], last=times[-1], pages=MAX_TASK_PAGES
        )
        are_all = are_all and is_complete
        for task in read:
            tasks.get(task["dag_run_id"], []).append(task)
    return tasks if are_all else {run_id: ended for run_id, ended in tasks.items() if ended}
