"""The JSON API."""

from __future__ import annotations

import logging
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, BackgroundTasks, Query, Request, Response, status

from quire.airflow_dag.xcom import airflow_run_id
from quire.errors import ReportError
from quire.portal.access import (
    CallerDep,
    CancelAccessDep,
    EstimateAccessDep,
    ReadAccessDep,
    ReportAccess,
    RequestAccessDep,
    RunId,
)
from quire.portal.dependencies import BaseDep, ResourcesDep, StoreDep
from quire.portal.reports import list_broken_reports, list_reports, read_catalog, show_report
from quire.portal.request_checks import estimate_request, request_run, validate_request
from quire.portal.resources import PortalResources
from quire.portal.run_contents import file_views
from quire.portal.run_outcomes import is_outcome_final
from quire.portal.run_reader import RunReader, RunReaderDep
from quire.portal.run_requests import ACTIVE
from quire.portal.runs import cancelling_note
from quire.portal.views import (
    BrokenReportView,
    EstimateView,
    FileView,
    ReportRequestBody,
    ReportView,
    RequestedRunView,
    RunDetails,
    RunView,
)
from quire.portal_urls import run_path
from quire.runs.leases import release_lease

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/reports", tags=["reports"])
broken_router = APIRouter(prefix="/api/broken-reports", tags=["reports"])
ERROR_RESPONSES = {
    401: {"description": "Not signed in."},
    403: {"description": "You don't have permission, or a browser request has no valid token."},
    404: {"description": "Not found."},
    408: {"description": "The body did not arrive in time."},
    409: {"description": "The report's current state does not allow this."},
    410: {"description": "Some of the run's files are missing from the store."},
    413: {"description": "The body exceeds 64 kB."},
    414: {"description": "The path or the query string is too long."},
    422: {"description": "The request is invalid; `detail` explains why."},
    429: {"description": "You have too many active runs or zip downloads, or your newer estimate replaced this one."},
    431: {"description": "The headers are too large."},
    503: {"description": "The database, the store or Airflow is unavailable, or too many requests are running. Retry."},
}
SEARCH = Query(
    max_length=200, description="Words that must all occur in the report's title, name, description or owner."
)
LIMIT = Query(ge=1, le=100, description="Maximum number of runs.")
OFFSET = Query(ge=0, le=1_000_000, description="Number of runs to skip, newest first.")


@router.get("", summary="List reports")
async def get_reports(
    caller: CallerDep, resources: ResourcesDep, base: BaseDep, *, search: Annotated[str, SEARCH] = ""
) -> list[ReportView]:
    """Returns the reports whose DAGs you may read, sorted by title."""
    return await list_reports(caller, await read_catalog(resources), base, search=search)


@broken_router.get("", summary="List reports with invalid definitions")
async def get_broken_reports(caller: CallerDep, resources: ResourcesDep) -> list[BrokenReportView]:
    """Returns the invalid reports whose DAGs you may edit, with their errors."""
    return await list_broken_reports(caller, await read_catalog(resources))


@router.get("/{report}", summary="Get a report")
def get_report(access: ReadAccessDep, base: BaseDep) -> ReportView:
    """Returns a report, including its parameters and common date ranges."""
    return show_report(access, base)


@router.post("/{report}/estimate", summary="Estimate a report")
async def post_estimate(
    access: EstimateAccessDep, resources: ResourcesDep, store: StoreDep, *, body: ReportRequestBody
) -> EstimateView:
    """Estimates a report. Row counts for cached partitions are exact; the PostgreSQL planner estimates the rest."""
    report_request = await validate_request(access, resources, **body.model_dump())
    return await estimate_request(access, report_request, resources=resources, store=store)


@router.post(
    "/{report}/runs",
    summary="Request a run",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        status.HTTP_200_OK: {"model": RequestedRunView, "description": "The report is published and unchanged."}
    },
)
async def post_run(
    access: RequestAccessDep,
    resources: ResourcesDep,
    store: StoreDep,
    *,
    base: BaseDep,
    body: ReportRequestBody,
    response: Response,
) -> RequestedRunView:
    """Starts a run, or returns the active run for an identical request.

    If the report is published and no row has changed, responds with status 200 and the files of the published run.
    """
    report_request = await validate_request(access, resources, **body.model_dump())
    requested = await request_run(access, report_request, resources=resources, store=store)
    url = f"{base}{run_path(access.definition.name, requested.run_id)}"
    view = RequestedRunView(run_id=requested.run_id, started=requested.started, url=url)
    if requested.unchanged is None:
        return view
    response.status_code = status.HTTP_200_OK
    manifest = requested.unchanged.manifest
    files = file_views(manifest, base)
    return view.model_copy(update={"run": manifest.run, "files": files, "unchanged_since": manifest.unchanged_since})


@router.get("/{report}/runs", summary="List runs, newest first")
async def get_runs(
    access: ReadAccessDep,
    reader: RunReaderDep,
    limit: Annotated[int, LIMIT] = 20,
    *,
    offset: Annotated[int, OFFSET] = 0,
) -> list[RunView]:
    """Returns a report's runs, including scheduled runs and command-line runs."""
    page = await reader.read_list(access, limit=limit, offset=offset)
    return page.runs


@router.get("/{report}/runs/{run_id}", summary="Get a run")
async def get_run(access: ReadAccessDep, run_id: RunId, reader: RunReaderDep) -> RunDetails:
    """Returns an active run's progress, or a published run's files and resource usage."""
    return (await reader.read_run(access, run_id))[0]


@router.get("/{report}/runs/{run_id}/files", summary="List a run's files")
async def get_files(access: ReadAccessDep, run_id: RunId, reader: RunReaderDep) -> list[FileView]:
    """Returns a run's files. File URLs are permanent: they check access and redirect to presigned URLs."""
    run, _ = await reader.read_run(access, run_id)
    return run.files


@router.post("/{report}/runs/{run_id}/cancel", summary="Cancel a run", status_code=status.HTTP_202_ACCEPTED)
async def post_cancel(
    request: Request,
    access: CancelAccessDep,
    run_id: RunId,
    *,
    background: BackgroundTasks,
    resources: ResourcesDep,
    base: BaseDep,
) -> RunDetails:
    """Cancels an active run and its database queries. Does not change a finished run."""
    await cancel(access, run_id, background, resources=resources)
    store = await run_sync(resources.open_store)  # the store must be configured, but does not have to be available
    reader = RunReader(request=request, resources=resources, store=store, base=base)
    return (await reader.read_run(access, run_id))[0]


async def cancel(access: ReportAccess, run_id: str, background: BackgroundTasks, *, resources: PortalResources) -> None:
    """Cancels an active run. The lease is released after the response, because killed tasks cannot release it."""
    caller, report = access.caller, access.definition.name
    run = await caller.api.run(report, run_id)
    if run["state"] in ACTIVE and not is_outcome_final(await caller.api.task_instances(report, run_id)):
        await caller.api.fail(report, run_id, note=cancelling_note(caller.user.get_name()))
        background.add_task(_release, report, run_id, resources)


def _release(report: str, run_id: str, resources: PortalResources) -> None:
    """Releases a run's lease. If the store is unavailable, the lease expires later."""
    try:
        release_lease(report, airflow_run_id(report, run_id), store=resources.open_store())
    except ReportError as error:
        logger.warning("run %s's lease could not be released and will expire: %s", run_id, error)
