"""Airflow's runs of a report as readers see them: what was asked, how far it is, what came of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from anyio.to_thread import run_sync
from pydantic import BaseModel, Field, ValidationError

from quire.airflow_dag.handover import NOTIFY, PUBLISH, STORED, is_published
from quire.airflow_dag.reader_links import FAILURE, MOST_ASKED
from quire.artifacts import Manifest, TaskUsage
from quire.definition import ReportDefinition, StageName
from quire.errors import IntegrityError, ReportError
from quire.file_names import is_summary
from quire.object_store import ObjectStore
from quire.portal.addresses import archive_address, file_address, run_address
from quire.portal.airflow_api import AirflowApi, NotFoundError
from quire.portal.explanations import MAX_REASON_LENGTH, shorten
from quire.portal.manifests import cached_manifest
from quire.portal.questions import OVER, asked_of
from quire.portal.views import FileView, ProgressView, RunDetails, RunState, RunView, StageView

STATES: Mapping[str, RunState] = {"queued": "waiting", "running": "running", "success": "done", "failed": "failed"}
CANCELLED = re.compile(r"Cancelled at (\S+) by ")  # the note of a run that somebody has ended
STAGES: tuple[str, ...] = get_args(StageName)
DONE = {"success", "skipped"}
MAX_LISTED_LENGTH = 100  # of a parameter's value in a list of runs
WHO = {"scheduled": "the schedule", "backfill": "a backfill", "asset_triggered": "an asset's event"}
NO_REASON = "One of its tasks was ended from outside: it was killed, or ran out of memory. Airflow's log has more."


class _Returned(BaseModel):
    """What publish has returned, as far as it is needed."""

    run: str = Field(pattern="^[0-9a-f]{32}$")
    reused: bool
    published_at: datetime | None = None


def is_decided(tasks: Iterable[Mapping[str, Any]]) -> bool:
    """Whether what came of a run is certain, and all that is left of it is to tell those who want to know."""
    stages = [task for task in tasks if task["task_id"] != NOTIFY]
    return bool(stages) and all(task["state"] in OVER for task in stages)


def cancelling_note(name: str) -> str:
    """Returns the note of a run that is ended now: it counts until the run is started again."""
    return f"Cancelled at {datetime.now(UTC).isoformat(timespec='seconds')} by {name}"


async def list_runs(
    definition: ReportDefinition, *, api: AirflowApi, store: ObjectStore, base: str, limit: int, offset: int = 0
) -> tuple[list[RunView], int]:
    """Returns a report's runs, the newest first, and how many there are in all.

    Args:
        definition: the report.
        api: the caller's.
        store: where manifests are.
        base: what stands before the portal's addresses.
        limit: how many at most.
        offset: how many of the newest to leave out.
    """
    found, total = await api.runs(definition.name, limit=limit, offset=offset)
    views = await asyncio.gather(*(_view(definition, run, api=api, store=store, base=base) for run in found))
    return [view for view in views if view], total


async def show_run(
    definition: ReportDefinition, run_id: str, *, api: AirflowApi, store: ObjectStore, base: str
) -> tuple[RunDetails, Manifest | None]:
    """Returns one run, and its manifest where it is published.

    Raises:
        NotFoundError: there is no such run.
    """
    run = await api.run(definition.name, run_id)
    view, manifest = await _details(definition, run, api=api, store=store, base=base)
    stages = _stages(manifest.usage) if manifest else []
    return RunDetails(**dict(view), stages=stages), manifest


async def _view(definition: ReportDefinition, run: Mapping[str, Any], **parts: Any) -> RunView | None:
    try:
        return _shortened((await _details(definition, run, **parts))[0])
    except NotFoundError:  # it was deleted this moment
        return None


def _shortened(view: RunView) -> RunView:
    """Returns a run as lists show it: without the long values of its parameters."""
    values = {name: _short(value) for name, value in view.parameters.items()}
    return view.model_copy(update={"parameters": values})


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return shorten(value, MAX_LISTED_LENGTH)
    if isinstance(value, list):
        return [_short(item) for item in value[:MAX_LISTED_LENGTH]]
    return value


async def _details(
    definition: ReportDefinition, run: Mapping[str, Any], *, api: AirflowApi, store: ObjectStore, base: str
) -> tuple[RunView, Manifest | None]:
    report, run_id, state = definition.name, str(run["dag_run_id"]), _state(run)
    tasks = await api.task_instances(report, run_id) if state in ("running", "failed", "cancelled") else []
    if is_published(tasks):  # whatever comes of telling those who want to know
        state = "done"
    elif state == "running" and is_decided(tasks):
        state = "failed"
    told: dict[str, Any] = {}
    try:
        asked = await run_sync(asked_of, definition, run)
        told = {"start": asked.start, "end": asked.end, "parameters": asked.parameters, "formats": asked.formats}
    except ReportError as error:
        told = {"start": None, "end": None, "parameters": {}, "formats": (), "error": error.message}
    told["formats"] = list(definition.file_formats(told["formats"]))
    told["ended_at"] = run["end_date"]
    manifest = None
    if state == "done":
        returned = await api.xcom(report, run_id, PUBLISH, "return_value")
        manifest, about = await run_sync(_published, definition, returned, store, base)
        told |= about
        told["error"] = about.get("error")  # whatever the definition would say of it today
    elif state == "running":
        told["progress"] = await _progress(api, report, run_id, tasks)
    elif state == "failed":
        told["error"] = await _reason(api, report, run_id, tasks, "failed") or told.get("error") or NO_REASON
    if told.get("error"):
        told["error"] = shorten(told["error"], MAX_REASON_LENGTH)
    view = RunView(
        run_id=run_id,
        report=report,
        state=state,
        asked_by=run["triggering_user_name"] or WHO.get(run["run_type"]),
        asked_at=run["queued_at"] or run["run_after"],
        began_at=run["start_date"],
        url=f"{base}{run_address(report, run_id)}",
        **told,
    )
    return view, manifest


def _state(run: Mapping[str, Any]) -> RunState:
    cancelled = CANCELLED.match(run["note"] or "")
    if run["state"] == "failed" and cancelled and cancelled[1] >= (run["start_date"] or "")[:19]:
        return "cancelled"  # and not failed once more after it was started again
    return STATES.get(run["state"], "waiting")


def _published(
    definition: ReportDefinition, pushed: Any, store: ObjectStore, base: str
) -> tuple[Manifest | None, dict[str, Any]]:
    """Returns the manifest of a run that ended well, and what there is to tell of it."""
    try:
        published = _Returned.model_validate(pushed)
        manifest = cached_manifest(store, definition.name, published.run)
    except ValidationError:
        return None, {"error": "Airflow no longer knows what came of it."}
    except IntegrityError:
        return None, {"error": "Its files were deleted, for they were older than the report keeps them."}
    except ReportError as error:
        return None, {"error": f"Its files cannot be shown just now: {error.message}"}
    return manifest, {
        "start": manifest.start,
        "end": manifest.end,
        "parameters": manifest.parameters,
        "run": manifest.run,
        "reused": published.reused,
        "rows": manifest.rows,
        "bytes": sum(file.bytes for file in manifest.files),
        "files": file_views(manifest, base),
        "warnings": list(manifest.warnings),
        "archive": f"{base}{archive_address(manifest.report, manifest.run)}",
        **({"ended_at": published.published_at} if published.published_at else {}),
    }


def file_views(manifest: Manifest, base: str) -> list[FileView]:
    """Returns the files of a published run."""
    return [
        FileView(
            name=file.name,
            rows=file.rows,
            bytes=file.bytes,
            start=file.start,
            end=file.end,
            earliest=file.earliest,
            latest=file.latest,
            sha256=file.sha256,
            is_summary=is_summary(file),
            url=f"{base}{file_address(manifest.report, manifest.run, file.name)}",
        )
        for file in manifest.files
    ]


async def _progress(api: AirflowApi, report: str, run_id: str, tasks: Sequence[Mapping[str, Any]]) -> ProgressView:
    groups, stored, shares = await asyncio.gather(
        api.xcom(report, run_id, "plan", "return_value"),
        api.xcom(report, run_id, "plan", STORED),
        api.xcom(report, run_id, "layout", "return_value"),
    )
    known = len(stored["record"]) if isinstance(stored, dict) and "record" in stored else 0
    return ProgressView(
        stage=_stage(tasks),
        partitions_done=known + _done(tasks, "extract", groups),
        partitions=None if groups is None else known + sum(map(len, groups)),
        files_done=_done(tasks, "render", shares),
        files=None if shares is None else sum(map(len, shares)),
        trouble=await _reason(api, report, run_id, tasks, "up_for_retry"),
    )


def _stage(tasks: Iterable[Mapping[str, Any]]) -> str:
    """Returns the first stage that is not over."""
    open_stages = {task["task_id"] for task in tasks if task["state"] not in DONE}
    return next((stage for stage in STAGES if stage in open_stages), STAGES[-1])


def _done(tasks: Iterable[Mapping[str, Any]], stage: str, groups: Sequence[Sequence[Any]] | None) -> int:
    """Returns how many units the finished tasks of a mapped stage had."""
    ended = {task["map_index"] for task in tasks if task["task_id"] == stage and task["state"] == "success"}
    return sum(len(group) for number, group in enumerate(groups or ()) if number in ended)


async def _reason(
    api: AirflowApi, report: str, run_id: str, tasks: Iterable[Mapping[str, Any]], state: str
) -> str | None:
    """Returns why the first task in a state failed that told."""
    found = [task for task in tasks if task["state"] == state and task["task_id"] != NOTIFY]
    for task in sorted(found, key=lambda task: task["end_date"] or "")[:MOST_ASKED]:
        reason = await api.xcom(report, run_id, task["task_id"], FAILURE, map_index=task["map_index"])
        if reason:
            return str(reason)
    return None


def _stages(usages: Sequence[TaskUsage]) -> list[StageView]:
    found = []
    for stage in dict.fromkeys(usage.stage for usage in usages):
        own = [usage for usage in usages if usage.stage == stage]
        found.append(
            StageView(
                stage=stage,
                tasks=len(own),
                seconds=round(sum(usage.seconds for usage in own), 3),
                cpu_seconds=round(sum(usage.cpu_seconds for usage in own), 3),
                rows=sum(usage.rows for usage in own),
                bytes=sum(usage.bytes for usage in own),
                peak_rss_bytes=max(usage.peak_rss_bytes for usage in own),
            )
        )
    return found
