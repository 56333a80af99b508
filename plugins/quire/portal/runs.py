"""Airflow's runs of a report as readers see them: what was asked, how far it is, what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from quire.airflow_api.client import AirflowApi, NotFoundError, RefusedError, is_run_id
from quire.airflow_dag.xcom import NOTIFY, UNREACHED
from quire.errors import IntegrityError, ReportError, StoreRefusedError, StoreUnavailableError
from quire.object_store import Store
from quire.portal.access import Caller
from quire.portal.command_line_runs import RUN_ID, CommandLineRun, command_line_runs, merge_page
from quire.portal.error_messages import MAX_REASON_LENGTH, contact_of, explain_failure, shorten
from quire.portal.manifest_cache import cached_manifest
from quire.portal.run_contents import contents_of, stage_views
from quire.portal.run_outcomes import Outcome, Returned, outcome_of, outcomes_of, state_of
from quire.portal.run_requests import asked_of
from quire.portal.unreadable_runs import unreadable_view
from quire.portal.views import RunDetails, RunView
from quire.portal.work_queue import InThread, WorkUnavailableError
from quire.records.manifest import Manifest
from quire.report.definition import ReportDefinition
from quire.report.definition.workbook import FILE_FORMATS
from quire.runs.file_names import is_summary
from quire.urls import run_path

logger = logging.getLogger(__name__)

MAX_MANIFESTS = 4  # that one list reads at once
MAX_LISTED_LENGTH = 100  # of a parameter's value in a list of runs
WHO = {"scheduled": "the schedule", "backfill": "a backfill", "asset_triggered": "an asset's event"}
NO_REASON = "One of its tasks was ended from outside: it was killed, or ran out of memory. Airflow's log has more."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """One page of a report's runs.

    Args:
        runs: of the page.
        total: how many there are on all pages.
        notice: a sentence that says which runs are not listed; empty where all are.
    """

    runs: list[RunView]
    total: int
    notice: str


def cancelling_note(name: str) -> str:
    """Returns the note of a run that is ended now: it counts until the run is started again."""
    return f"Cancelled at {datetime.now(UTC).isoformat(timespec='seconds')} by {name}"


async def list_runs(
    definition: ReportDefinition,
    *,
    caller: Caller,
    store: Store,
    base: str,
    limit: int,
    offset: int = 0,
    in_thread: InThread,
) -> RunList:
    """Returns a report's runs, the newest first; Airflow's alone while the store is unavailable.

    Args:
        definition: the report.
        caller: who lists them.
        store: where manifests are.
        base: what stands before the portal's addresses.
        limit: how many at most.
        offset: how many of the newest to leave out.
        in_thread: runs what waits for the store.
    """
    own, notice = await _own_runs(definition, store, in_thread)
    first = max(offset - len(own), 0)  # of Airflow's runs, that may be on the page
    found, total = await caller.api.runs_between(definition.name, first, offset + limit)
    dated = [(datetime.fromisoformat(run["run_after"]), run) for run in found]
    page = merge_page(dated, own, skip=offset - first, limit=limit)
    page = [run for run in page if isinstance(run, CommandLineRun) or is_run_id(run["dag_run_id"])]
    others = [run for run in page if not isinstance(run, CommandLineRun)]
    outcomes = await outcomes_of(definition.name, others, api=caller.api, user=caller.user.get_id())
    few = asyncio.Semaphore(MAX_MANIFESTS)

    async def view(run: Mapping[str, Any] | CommandLineRun) -> RunView | None:
        async with few:
            try:
                return await _view(definition, run, outcomes, store=store, base=base, in_thread=in_thread)
            except WorkUnavailableError:  # of the whole list
                raise
            except Exception:
                unreadable = unreadable_view(definition.name, run, outcomes, base)
                logger.exception("%s: run %s cannot be shown", definition.name, unreadable.run_id)
                return unreadable

    views = await asyncio.gather(*map(view, page))
    return RunList(runs=[view for view in views if view], total=total + len(own), notice=notice)


async def _own_runs(
    definition: ReportDefinition, store: Store, in_thread: InThread
) -> tuple[list[CommandLineRun], str]:
    """Returns the runs of the command line; none where the store cannot be asked, and a sentence that says so."""
    try:
        return await in_thread(command_line_runs, store, definition.name), ""
    except (StoreRefusedError, StoreUnavailableError) as error:
        logger.warning("%s: runs of the command line are not listed: %s", definition.name, error.message)
        return [], shorten(f"Runs of the command line are unavailable: {error.message}", MAX_REASON_LENGTH)


async def show_run(
    definition: ReportDefinition,
    run_id: str,
    *,
    api: AirflowApi,
    store: Store,
    base: str,
    in_thread: InThread,
) -> tuple[RunDetails, Manifest | None]:
    """Returns one run, and its manifest where it is published; without details where these cannot be read.

    Raises:
        NotFoundError: there is no such run.
    """
    own = await in_thread(_own_run, store, definition.name, run_id) if RUN_ID.fullmatch(run_id) else None
    run: Mapping[str, Any] | CommandLineRun = own or await api.run(definition.name, run_id)
    try:
        if isinstance(run, CommandLineRun):
            view, manifest = await in_thread(_command_line_view, run, definition.name, store, base)
            return RunDetails(**dict(view), stages=stage_views(manifest.usage) if manifest else []), manifest
        outcome = await outcome_of(definition.name, run, api=api)
        view, manifest = await _details(definition, run, outcome, store=store, base=base, in_thread=in_thread)
        stages, unreached = stage_views(manifest.usage) if manifest else [], await _unreached(definition, run_id, api)
        return RunDetails(**dict(view), stages=stages, unreached=unreached), manifest
    except (ReportError, NotFoundError, RefusedError):  # which have an answer of their own
        raise
    except Exception:
        logger.exception("%s: run %s cannot be shown", definition.name, run_id)
        outcomes = {} if isinstance(run, CommandLineRun) else {run_id: Outcome(state=state_of(run))}
        return RunDetails(**dict(unreadable_view(definition.name, run, outcomes, base))), None


def _own_run(store: Store, report: str, run_id: str) -> CommandLineRun | None:
    return next((run for run in command_line_runs(store, report) if run.run_id == run_id), None)


async def _unreached(definition: ReportDefinition, run_id: str, api: AirflowApi) -> list[str]:
    """Returns a sentence for each recipient whom the run's notification did not reach."""
    recipients = definition.delivery.notify
    if not (recipients.success or recipients.failure):
        return []
    pushed = await api.xcom(definition.name, run_id, NOTIFY, UNREACHED)
    return [str(sentence) for sentence in pushed] if isinstance(pushed, list) else []


async def _view(
    definition: ReportDefinition,
    run: Mapping[str, Any] | CommandLineRun,
    outcomes: Mapping[str, Outcome],
    *,
    store: Store,
    base: str,
    in_thread: InThread,
) -> RunView | None:
    try:
        if isinstance(run, CommandLineRun):
            return _shortened((await in_thread(_command_line_view, run, definition.name, store, base))[0])
        if outcome := outcomes.get(run["dag_run_id"]):
            if not outcome.is_readable:
                return unreadable_view(definition.name, run, outcomes, base)
            details = await _details(definition, run, outcome, store=store, base=base, in_thread=in_thread)
            return _shortened(details[0])
    except IntegrityError:
        logger.debug("%s: a run was deleted this moment", definition.name)
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
    definition: ReportDefinition,
    run: Mapping[str, Any],
    outcome: Outcome,
    *,
    store: Store,
    base: str,
    in_thread: InThread,
) -> tuple[RunView, Manifest | None]:
    report, run_id = definition.name, str(run["dag_run_id"])
    told: dict[str, Any] = {}
    try:
        asked = await in_thread(asked_of, definition, run)
        told = {"start": asked.start, "end": asked.end, "parameters": asked.parameters, "formats": asked.formats}
    except ReportError as error:
        told = {"start": None, "end": None, "parameters": {}, "formats": (), "error": error.message}
    told["formats"] = list(definition.file_formats(told["formats"]))
    told["ended_at"] = run["end_date"]
    told["progress"] = outcome.progress
    manifest = None
    if outcome.state == "done":
        manifest, about = await in_thread(_published, definition, outcome.returned, store, base)
        told |= about
        told["error"] = about.get("error")  # whatever the definition would say of it today
    elif outcome.state == "failed":
        told["error"] = outcome.cause or told.get("error") or NO_REASON
        contact = contact_of(definition.owner)
        told["explanation"] = shorten(explain_failure(outcome.kind, told["error"], contact=contact), MAX_REASON_LENGTH)
    if told.get("error"):
        told["error"] = shorten(told["error"], MAX_REASON_LENGTH)
    view = RunView(
        run_id=run_id,
        report=report,
        state=outcome.state,
        asked_by=run["triggering_user_name"] or WHO.get(run["run_type"]),
        asked_at=run["queued_at"] or run["run_after"],
        began_at=run["start_date"],
        url=f"{base}{run_path(report, run_id)}",
        **told,
    )
    return view, manifest


def _published(
    definition: ReportDefinition, published: Returned | None, store: Store, base: str
) -> tuple[Manifest | None, dict[str, Any]]:
    """Returns the manifest of a run that ended well, and what there is to tell of it."""
    if published is None:
        return None, {"error": "Airflow no longer knows what came of it."}
    try:
        manifest = cached_manifest(store, definition.name, published.run)
    except IntegrityError:
        return None, {"error": "Its files were deleted, for they were older than the report keeps them."}
    except ReportError as error:
        return None, {"error": _unavailable(error)}
    return manifest, {
        **contents_of(manifest, base),
        "reused": published.reused,
        **({"ended_at": published.published_at} if published.published_at else {}),
    }


def _command_line_view(run: CommandLineRun, report: str, store: Store, base: str) -> tuple[RunView, Manifest | None]:
    manifest = None
    about: dict[str, Any] = {"start": None, "end": None, "parameters": {}}
    suffixes = set[str]()
    try:
        manifest = cached_manifest(store, report, run.run_key)
        about = contents_of(manifest, base)
        suffixes = {file.name.rpartition(".")[2] for file in manifest.files if not is_summary(file)}
    except (StoreRefusedError, StoreUnavailableError) as error:
        about["error"] = _unavailable(error)
    view = RunView(
        run_id=run.run_id,
        report=report,
        state="done",
        asked_by="the command line",
        asked_at=run.made_at,
        began_at=None,
        ended_at=None,
        formats=[name for name in FILE_FORMATS if name in suffixes],
        url=f"{base}{run_path(report, run.run_id)}",
        **about,
    )
    return view, manifest


def _unavailable(error: ReportError) -> str:
    return shorten(f"Its files cannot be shown just now: {error.message}", MAX_REASON_LENGTH)
