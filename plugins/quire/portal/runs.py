"""Lists a report's runs, with the request, progress and outcome that readers see."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from quire.airflow_api.client import AirflowApi, is_run_id
from quire.airflow_dag.xcom import NOTIFY, UNREACHED
from quire.errors import IntegrityError, ReportError, StoreRefusedError, StoreUnavailableError
from quire.human_readable import truncate
from quire.portal.access import Caller
from quire.portal.command_line_runs import RUN_ID, CommandLineRun, merge_page
from quire.portal.error_messages import MAX_MESSAGE_LENGTH, contact_text, explain_failure
from quire.portal.job_deadline import WorkUnavailableError
from quire.portal.run_contents import manifest_fields, stage_views
from quire.portal.run_outcomes import RunOutcome, load_outcome, parse_state
from quire.portal.run_requests import parse_run_conf
from quire.portal.run_source import MAX_MANIFESTS, RunSource
from quire.portal.unreadable_runs import unreadable_view
from quire.portal.views import RunDetails, RunView
from quire.portal_urls import run_path
from quire.record_types.manifest import Manifest
from quire.record_types.run_result import RunResult
from quire.report.definition import ReportDefinition
from quire.report.definition.workbook_options import FILE_FORMATS
from quire.runs.file_names import is_summary

logger = logging.getLogger(__name__)

MAX_LISTED_LENGTH = 100  # maximum length of a parameter value in a run list
TRIGGERS = {"scheduled": "the schedule", "backfill": "a backfill", "asset_triggered": "an asset event"}
NO_REASON = "A task was killed or ran out of memory. See Airflow's task logs."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunList:
    """A page of a report's runs.

    Args:
        runs: the runs on the page.
        total: the number of runs on all pages.
        message: explains which runs are missing from the list; empty if none are.
    """

    runs: list[RunView]
    total: int
    message: str


def cancelling_note(name: str) -> str:
    """Returns the Airflow note for a canceled run. The note applies until the run is restarted."""
    return f"Cancelled at {datetime.now(UTC).isoformat(timespec='seconds')} by {name}"


async def list_runs(
    definition: ReportDefinition,
    *,
    caller: Caller,
    source: RunSource,
    base: str,
    limit: int,
    offset: int = 0,
) -> RunList:
    """Returns a page of a report's runs, newest first. Omits command-line runs if the store is unavailable.

    Args:
        definition: the report.
        caller: the user whose permissions apply.
        source: loads the runs' outcomes and manifests.
        base: Airflow's URL path prefix.
        limit: maximum number of runs.
        offset: number of runs to skip, newest first.
    """
    own, message = await _load_command_line_runs(definition, source)
    first = max(offset - len(own), 0)  # index of the first Airflow run that may be on the page
    airflow_runs, total = await caller.api.runs_between(definition.name, first, offset + limit)
    dated = [(datetime.fromisoformat(run["run_after"]), run) for run in airflow_runs]
    page = merge_page(dated, own, skip=offset - first, limit=limit)
    page = [run for run in page if isinstance(run, CommandLineRun) or is_run_id(run["dag_run_id"])]
    others = [run for run in page if not isinstance(run, CommandLineRun)]
    outcomes = await source.outcomes.load(definition.name, others, api=caller.api, user=caller.user.get_id())
    semaphore = asyncio.Semaphore(MAX_MANIFESTS)

    async def view(run: Mapping[str, Any] | CommandLineRun) -> RunView | None:
        async with semaphore:
            try:
                return await _view(definition, run, outcomes, source=source, base=base)
            except WorkUnavailableError:  # the error concerns the entire list
                raise
            except Exception:
                unreadable = unreadable_view(definition.name, run, outcomes, base=base)
                logger.exception("%s: run %s cannot be displayed", definition.name, unreadable.run_id)
                return unreadable

    views = await asyncio.gather(*map(view, page))
    return RunList(runs=[view for view in views if view], total=total + len(own), message=message)


async def _load_command_line_runs(definition: ReportDefinition, source: RunSource) -> tuple[list[CommandLineRun], str]:
    """Returns the command-line runs, or no runs and a message if the store is unavailable."""
    try:
        return await source.in_thread(source.command_line_runs, definition.name), ""
    except (StoreRefusedError, StoreUnavailableError) as error:
        logger.warning("%s: command-line runs cannot be listed: %s", definition.name, error.message)
        return [], truncate(f"Command-line runs are unavailable: {error.message}", MAX_MESSAGE_LENGTH)


async def show_run(
    definition: ReportDefinition,
    run_id: str,
    *,
    api: AirflowApi,
    source: RunSource,
    base: str,
) -> tuple[RunDetails, Manifest | None]:
    """Returns a run, and its manifest if the run is published. Omits details that cannot be loaded.

    Raises:
        NotFoundError: the run does not exist.
    """
    is_own = RUN_ID.fullmatch(run_id)
    own = await source.in_thread(_find_command_line_run, source, definition.name, run_id) if is_own else None
    run: Mapping[str, Any] | CommandLineRun = own or await api.run(definition.name, run_id)
    try:
        if isinstance(run, CommandLineRun):
            view, manifest = await source.in_thread(
                partial(_command_line_view, run, definition.name, source, base=base)
            )
            return RunDetails(**dict(view), stages=stage_views(manifest.usage) if manifest else []), manifest
        outcome = await load_outcome(definition.name, run, api=api)
        view, manifest = await _details(definition, run, outcome, source=source, base=base)
        stages = stage_views(manifest.usage) if manifest else []
        # an active run has not sent its notifications yet
        unreached = [] if view.is_active else await _load_unreached(definition, run_id, api)
        return RunDetails(**dict(view), stages=stages, unreached=unreached), manifest
    except ReportError:  # the app has its own responses to these errors
        raise
    except Exception:
        logger.exception("%s: run %s cannot be displayed", definition.name, run_id)
        outcomes = {} if isinstance(run, CommandLineRun) else {run_id: RunOutcome(state=parse_state(run))}
        return RunDetails(**dict(unreadable_view(definition.name, run, outcomes, base=base))), None


def _find_command_line_run(source: RunSource, report: str, run_id: str) -> CommandLineRun | None:
    return next((run for run in source.command_line_runs(report) if run.run_id == run_id), None)


async def _load_unreached(definition: ReportDefinition, run_id: str, api: AirflowApi) -> list[str]:
    """Returns a sentence about each recipient whom the notification did not reach."""
    recipients = definition.delivery.notify
    if not (recipients.success or recipients.failure):
        return []
    pushed = await api.xcom(definition.name, run_id, NOTIFY, key=UNREACHED)
    return [str(sentence) for sentence in pushed] if isinstance(pushed, list) else []


async def _view(
    definition: ReportDefinition,
    run: Mapping[str, Any] | CommandLineRun,
    outcomes: Mapping[str, RunOutcome],
    *,
    source: RunSource,
    base: str,
) -> RunView | None:
    try:
        if isinstance(run, CommandLineRun):
            return _limit_parameters(
                (await source.in_thread(partial(_command_line_view, run, definition.name, source, base=base)))[0]
            )
        if outcome := outcomes.get(run["dag_run_id"]):
            if not outcome.is_readable:
                return unreadable_view(definition.name, run, outcomes, base=base)
            details = await _details(definition, run, outcome, source=source, base=base)
            return _limit_parameters(details[0])
    except IntegrityError:
        logger.debug("%s: a run was deleted in the meantime", definition.name)
    return None


def _limit_parameters(view: RunView) -> RunView:
    """Truncates a run's parameter values for a run list."""
    values = {name: _limit_value(value) for name, value in view.parameters.items()}
    return view.model_copy(update={"parameters": values})


def _limit_value(value: Any) -> Any:
    if isinstance(value, str):
        return truncate(value, MAX_LISTED_LENGTH)
    if isinstance(value, list):
        return [_limit_value(item) for item in value[:MAX_LISTED_LENGTH]]
    return value


async def _details(
    definition: ReportDefinition,
    run: Mapping[str, Any],
    outcome: RunOutcome,
    *,
    source: RunSource,
    base: str,
) -> tuple[RunView, Manifest | None]:
    report, run_id = definition.name, str(run["dag_run_id"])
    fields: dict[str, Any] = {}
    try:
        request = await source.in_thread(parse_run_conf, definition, run)
        fields = {name: getattr(request, name) for name in ("start", "end", "parameters", "formats")}
    except ReportError as error:
        fields = {"start": None, "end": None, "parameters": {}, "formats": (), "error": error.message}
    fields["formats"] = list(definition.file_formats(fields["formats"]))
    fields["ended_at"] = run["end_date"]
    fields["progress"] = outcome.progress
    manifest = None
    if outcome.state == "done":
        manifest, published = await source.in_thread(
            partial(_published_fields, definition, outcome.result, source, base=base)
        )
        fields |= published
        fields["error"] = published.get("error")  # clears the error for a request that the current definition rejects
    elif outcome.state == "failed":
        fields["error"] = outcome.cause or fields.get("error") or NO_REASON
        explanation = explain_failure(outcome.kind, fields["error"], contact=contact_text(definition.owner))
        fields["explanation"] = truncate(explanation, MAX_MESSAGE_LENGTH)
    if fields.get("error"):
        fields["error"] = truncate(fields["error"], MAX_MESSAGE_LENGTH)
    view = RunView(
        run_id=run_id,
        report=report,
        state=outcome.state,
        asked_by=run["triggering_user_name"] or TRIGGERS.get(run["run_type"]),
        asked_at=run["queued_at"] or run["run_after"],
        began_at=run["start_date"],
        url=f"{base}{run_path(report, run_id)}",
        **fields,
    )
    return view, manifest


def _published_fields(
    definition: ReportDefinition, result: RunResult | None, source: RunSource, *, base: str
) -> tuple[Manifest | None, dict[str, Any]]:
    """Returns a successful run's manifest, and the fields for the run's view."""
    if result is None:
        return None, {"error": "Airflow has no result for this run."}
    try:
        manifest = source.manifest(definition.name, result.run)
    except IntegrityError:
        return None, {"error": "This run's files were deleted because their retention period has ended."}
    except ReportError as error:
        return None, {"error": _unavailable(error)}
    return manifest, {
        **manifest_fields(manifest, base),
        "reused": result.reused,
        "ended_at": result.published_at,
    }


def _command_line_view(
    run: CommandLineRun, report: str, source: RunSource, *, base: str
) -> tuple[RunView, Manifest | None]:
    manifest = None
    fields: dict[str, Any] = {"start": None, "end": None, "parameters": {}}
    suffixes = set[str]()
    try:
        manifest = source.manifest(report, run.run_key)
        fields = manifest_fields(manifest, base)
        suffixes = {file.name.rpartition(".")[2] for file in manifest.files if not is_summary(file)}
    except (StoreRefusedError, StoreUnavailableError) as error:
        fields["error"] = _unavailable(error)
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
        **fields,
    )
    return view, manifest


def _unavailable(error: ReportError) -> str:
    return truncate(f"This run's files are unavailable: {error.message}", MAX_MESSAGE_LENGTH)
