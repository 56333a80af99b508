"""Finds the published run that already answers a request, after the source has confirmed that no row has changed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass

from quire.airflow_api.client import NotFoundError, is_run_id
from quire.errors import ReportError
from quire.object_store import Store
from quire.partition_cache.cache import merge_partitions
from quire.partition_cache.freshness import is_reusable
from quire.portal.access import ReportAccess
from quire.portal.command_line_runs import RUN_ID
from quire.portal.deadline_store import limit_store
from quire.portal.estimates import MAX_PARTITIONS, limit_session
from quire.portal.resources import PortalResources
from quire.portal.run_requests import ReportRequest
from quire.portal.work_queue import Deadline
from quire.postgres import SourceSession
from quire.record_types.manifest import Manifest
from quire.runs.manifest_store import find_manifest
from quire.runs.run_key import compute_run_key
from quire.stages.plan import plan_partitions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnchangedRun:
    """A published run whose rows are still current.

    Args:
        run_id: the ID of the run that published it, which has a page in the portal.
        manifest: its manifest.
    """

    run_id: str
    manifest: Manifest


async def find_unchanged_run(
    access: ReportAccess, report_request: ReportRequest, *, resources: PortalResources, store: Store
) -> UnchangedRun | None:
    """Returns the published run that answers a request; None if a run is needed, or the answer takes too long.

    The source always confirms the freshness tokens of all partitions. If it cannot, a run is started, which reports
    why. A run that Airflow no longer knows has no page, so it does not count.
    """
    definition, request = report_request.definition, report_request.request
    if not is_reusable(definition, request) or request.fan_out:
        return None
    if definition.partition.periods(request.start, request.end) > MAX_PARTITIONS:
        return None

    def work(deadline: Deadline) -> Manifest | None:
        return _find_manifest(
            report_request, session=resources.open_session(definition), store=store, deadline=deadline
        )

    try:
        manifest = await resources.freshness_checks.run(access.caller.user.get_id(), work, supersedes=False)
    except (ReportError, CancelledError) as error:
        logger.info("%s: a run is needed, because the check for changes failed: %s", definition.name, error)
        return None
    run_id = manifest.run_id.removeprefix(f"{definition.name}:") if manifest else ""
    if manifest is None or not await _has_page(definition.name, run_id, access.caller.api.run):
        return None
    return UnchangedRun(run_id=run_id, manifest=manifest)


def _find_manifest(
    report_request: ReportRequest, *, session: SourceSession, store: Store, deadline: Deadline
) -> Manifest | None:
    definition = report_request.definition
    store = limit_store(store, deadline)
    session = limit_session(session, deadline)
    planned = plan_partitions(definition, report_request.request, session=session, store=store)
    if planned.groups:
        return None
    partitions = merge_partitions(definition, planned.plan, planned.cached)
    return find_manifest(store, definition.name, compute_run_key(definition, planned.plan, partitions))


async def _has_page(report: str, run_id: str, find_run: Callable[[str, str], Awaitable[object]]) -> bool:
    if RUN_ID.fullmatch(run_id):
        return True
    try:
        return is_run_id(run_id) and bool(await find_run(report, run_id))
    except NotFoundError:
        return False
