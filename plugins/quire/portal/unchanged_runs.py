"""Finds the published run that already answers a request, after the source has confirmed that no row has changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import Any

from quire.airflow_api.client import AirflowApi, NotFoundError, is_run_id
from quire.errors import ReportError
from quire.object_store import Store
from quire.partition_cache.freshness import is_reusable
from quire.portal.access import ReportAccess
from quire.portal.command_line_runs import RUN_ID
from quire.portal.deadline_store import limit_store
from quire.portal.estimates import MAX_CHECKED_PARTITIONS, limit_session
from quire.portal.job_deadline import Deadline, WorkUnavailableError
from quire.portal.resources import PortalResources
from quire.portal.run_outcomes import load_outcome
from quire.portal.run_requests import ReportRequest
from quire.record_types.manifest import Manifest
from quire.runs.manifest_store import find_manifest
from quire.runs.published_files import is_any_missing
from quire.runs.run_key import compute_run_key
from quire.stages.plan import read_plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnchangedRun:
    """A published run whose rows are still current.

    Args:
        run_id: the ID of a run whose page shows the manifest.
        manifest: the run's manifest.
    """

    run_id: str
    manifest: Manifest


async def find_unchanged_run(
    access: ReportAccess,
    report_request: ReportRequest,
    *,
    newest: Mapping[str, Any] | None,
    resources: PortalResources,
    store: Store,
) -> UnchangedRun | None:
    """Returns the published run that answers a request; None if a run is needed, or the answer takes too long.

    The source must confirm every partition's freshness token. If it cannot, a run is started, which reports why. A run
    whose page does not show the manifest does not count: Airflow may have lost the run, or a user may have canceled or
    cleared it.

    Args:
        access: the caller's access to the report.
        report_request: the request.
        newest: the newest run for the request. It may have adopted the files of a run that no longer exists.
        resources: the portal's resources.
        store: the store that holds the published runs.
    """
    definition, request = report_request.definition, report_request.request
    if not is_reusable(definition, request) or request.fan_out:
        return None
    if definition.partition.periods(request.start, request.end) > MAX_CHECKED_PARTITIONS:
        return None

    def work(deadline: Deadline) -> UnchangedRun | None:
        return _find_published_run(report_request, resources=resources, store=store, deadline=deadline)

    try:
        user = access.caller.user.get_id()
        published = await resources.freshness_checks.run_shared(user, work, key=report_request.prefix)
        if published is None or RUN_ID.fullmatch(published.run_id):
            return published
        for run_id in (published.run_id, str(newest["dag_run_id"]) if newest else ""):
            if await _is_result_of(run_id, published.manifest, access.caller.api):
                return replace(published, run_id=run_id)
    except ReportError as error:
        logger.info("%s: a run is needed, because the check for changes failed: %s", definition.name, error)
    return None


def _find_published_run(
    report_request: ReportRequest, *, resources: PortalResources, store: Store, deadline: Deadline
) -> UnchangedRun | None:
    """Returns the run that published a manifest for the request's current rows.

    The run ID is empty if the manifest names a run that Airflow cannot have or an unlisted command-line run.

    Raises:
        ReportError: the source or the store failed, or the deadline has passed.
    """
    definition, store = report_request.definition, limit_store(store, deadline)
    session = limit_session(resources.open_session(definition), deadline)
    try:
        plan, tokens = read_plan(definition, report_request.request, session=session)
    except CancelledError as error:
        raise WorkUnavailableError("The check was canceled.") from error
    manifest = find_manifest(store, definition.name, compute_run_key(definition, plan, tokens))
    if manifest is None or is_any_missing(manifest.files, store):
        return None
    run_id = manifest.run_id.removeprefix(f"{definition.name}:")
    if RUN_ID.fullmatch(run_id):
        listed = resources.command_line_runs.list(store, definition.name)
        is_shown = any(run.run_id == run_id for run in listed)
    else:
        is_shown = run_id != manifest.run_id
    return UnchangedRun(run_id=run_id if is_shown else "", manifest=manifest)


async def _is_result_of(run_id: str, manifest: Manifest, api: AirflowApi) -> bool:
    """Returns whether an Airflow run succeeded with a manifest, so that the run's page shows it.

    Raises:
        RefusedError: the caller is not allowed to read the run's tasks or XComs.
    """
    if not run_id or not is_run_id(run_id):
        return False
    try:
        outcome = await load_outcome(manifest.report, await api.run(manifest.report, run_id), api=api)
    except NotFoundError:
        return False
    return outcome.state == "done" and outcome.result is not None and outcome.result.run == manifest.run
