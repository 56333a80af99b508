"""Finds the published run that already answers a request, after the source has confirmed that no row has changed."""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError
from dataclasses import dataclass
from datetime import datetime

from quire.airflow_api.client import AirflowApi, is_run_id
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
        run_id: the ID of the run that published the manifest and whose page shows it.
        manifest: the run's manifest.
        snapshot_at: when the last of the run's rows were read.
    """

    run_id: str
    manifest: Manifest
    snapshot_at: datetime


async def find_unchanged_run(
    access: ReportAccess, report_request: ReportRequest, *, resources: PortalResources, store: Store
) -> UnchangedRun | None:
    """Returns the published run that answers a request; None if a run is needed, or the answer takes too long.

    The source must confirm every partition's freshness token. If it cannot, a run is started, which reports why. A run
    whose page does not show the manifest does not count: Airflow may have lost the run, or a user may have canceled or
    cleared it.
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
        if published and not RUN_ID.fullmatch(published.run_id):
            return published if await _shows(published, access.caller.api) else None
    except ReportError as error:
        logger.info("%s: a run is needed, because the check for changes failed: %s", definition.name, error)
        return None
    return published


def _find_published_run(
    report_request: ReportRequest, *, resources: PortalResources, store: Store, deadline: Deadline
) -> UnchangedRun | None:
    """Returns the run that published a manifest for the request's current rows. Ignores unlisted command-line runs.

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
        if all(run.run_id != run_id for run in listed):
            return None
    snapshot_at = datetime.fromisoformat(manifest.snapshot_at or manifest.made_at)
    return UnchangedRun(run_id=run_id, manifest=manifest, snapshot_at=snapshot_at)


async def _shows(published: UnchangedRun, api: AirflowApi) -> bool:
    """Returns whether an Airflow run's page shows a manifest. It does if the run succeeded with that manifest.

    Raises:
        NotFoundError: Airflow no longer has the run.
        RefusedError: the caller is not allowed to read the run's tasks or XComs.
    """
    manifest, run_id = published.manifest, published.run_id
    if run_id in ("", manifest.run_id) or not is_run_id(run_id):
        return False
    outcome = await load_outcome(manifest.report, await api.run(manifest.report, run_id), api=api)
    return outcome.state == "done" and outcome.result is not None and outcome.result.run == manifest.run
