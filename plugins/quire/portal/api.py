"""The JSON API."""

from __future__ import annotations

import logging
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, BackgroundTasks, Query, status
from fastapi import Request as HttpRequest

from quire.airflow_dag.connections import open_store
from quire.airflow_dag.xcom import airflow_run_id
from quire.errors import ReportError
from quire.portal.access import AskingDep, CallerDep, CancellingDep, EstimatingDep, ReadingDep, RunId
from quire.portal.listing import list_for, run_for
from quire.portal.reports import list_broken_reports, list_reports, read_catalog, show_report
from quire.portal.request_checks import check_question, estimate_question, request_run
from quire.portal.run_outcomes import is_decided
from quire.portal.run_requests import ACTIVE
from quire.portal.runs import cancelling_note
from quire.portal.services import BaseDep, StoreDep
from quire.portal.views import (
    AskedView,
    BrokenReportView,
    EstimateView,
    FileView,
    ReportView,
    Request,
    RunDetails,
    RunView,
)
from quire.runs.leases import release_lease
from quire.urls import run_path

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/reports", tags=["reports"])
broken_router = APIRouter(prefix="/api/broken-reports", tags=["reports"])
REFUSALS = {
    401: {"description": "Nobody is signed in."},
    403: {"description": "The caller may not, or a browser sent no token of ours."},
    404: {"description": "There is no such thing."},
    409: {"description": "The report cannot do it as it is."},
    410: {"description": "Files of the run are missing from the store."},
    413: {"description": "The body is longer than 64 kB."},
    422: {"description": "What was sent is wrong; the reason is told."},
    429: {"description": "The caller has too many active runs, or has asked for another estimate meanwhile."},
    503: {"description": "The source, the store or Airflow is away, or there is no place for the request: try again."},
}
LIMIT = Query(ge=1, le=100, description="How many at most.")
OFFSET = Query(ge=0, le=1_000_000, description="How many of the newest to leave out.")


@router.get("", summary="The reports that the caller may see")
async def get_reports(caller: CallerDep, base: BaseDep) -> list[ReportView]:
    """Those whose DAGs they may read."""
    return await list_reports(caller, await read_catalog(), base)


@broken_router.get("", summary="The reports whose definitions have a mistake")
async def get_broken_reports(caller: CallerDep) -> list[BrokenReportView]:
    """Those that the caller may edit, and what is wrong with them."""
    return await list_broken_reports(caller, await read_catalog())


@router.get("/{report}", summary="One report")
def get_report(reading: ReadingDep, base: BaseDep) -> ReportView:
    """With its parameters, and the ranges that people often want."""
    return show_report(reading, base)


@router.post("/{report}/estimate", summary="What a request would give")
async def post_estimate(reading: EstimatingDep, store: StoreDep, asked: Request) -> EstimateView:
    """Changes nothing. Rows are counted where they are stored, and else guessed by PostgreSQL's planner."""
    return await estimate_question(reading, await check_question(reading, **asked.model_dump()), store)


@router.post("/{report}/runs", summary="Ask", status_code=status.HTTP_202_ACCEPTED)
async def post_run(asking: AskingDep, store: StoreDep, base: BaseDep, asked: Request) -> AskedView:
    """The run that answers: one that is at work on the same question, else a new one."""
    run_id, started = await request_run(asking, await check_question(asking, **asked.model_dump()), store)
    return AskedView(run_id=run_id, started=started, url=f"{base}{run_path(asking.definition.name, run_id)}")


@router.get("/{report}/runs", summary="A report's runs, the newest first")
async def get_runs(
    request: HttpRequest,
    reading: ReadingDep,
    store: StoreDep,
    base: BaseDep,
    limit: Annotated[int, LIMIT] = 20,
    offset: Annotated[int, OFFSET] = 0,
) -> list[RunView]:
    """Those of its schedule too."""
    page = await list_for(request, reading, store, base, limit=limit, offset=offset)
    return page.runs


@router.get("/{report}/runs/{run_id}", summary="One run")
async def get_run(
    request: HttpRequest, reading: ReadingDep, run_id: RunId, store: StoreDep, base: BaseDep
) -> RunDetails:
    """Its progress while it is at work; then its files and what its stages took."""
    return (await run_for(request, reading, run_id, store, base))[0]


@router.get("/{report}/runs/{run_id}/files", summary="A run's files")
async def get_files(
    request: HttpRequest, reading: ReadingDep, run_id: RunId, store: StoreDep, base: BaseDep
) -> list[FileView]:
    """Their addresses stay; whoever follows one is checked, and sent to a link that was signed that moment."""
    run, _ = await run_for(request, reading, run_id, store, base)
    return run.files


@router.post("/{report}/runs/{run_id}/cancel", summary="End a run", status_code=status.HTTP_202_ACCEPTED)
async def post_cancel(
    request: HttpRequest, cancelling: CancellingDep, run_id: RunId, background: BackgroundTasks, base: BaseDep
) -> RunDetails:
    """Its queries at the source end too. A run that is over stays as it is."""
    await cancel(cancelling, run_id, background)
    store = await run_sync(open_store)  # which has to be configured, but not available
    return (await run_for(request, cancelling, run_id, store, base))[0]


async def cancel(cancelling: CancellingDep, run_id: str, background: BackgroundTasks) -> None:
    """Ends a run that is not over; after the answer its lease too, which the tasks that Airflow ends do not release."""
    caller, report = cancelling.caller, cancelling.definition.name
    run = await caller.api.run(report, run_id)
    if run["state"] in ACTIVE and not is_decided(await caller.api.task_instances(report, run_id)):
        await caller.api.fail(report, run_id, note=cancelling_note(caller.user.get_name()))
        background.add_task(_release, report, run_id)


def _release(report: str, run_id: str) -> None:
    """Releases a run's lease; without a usable store, the lease expires."""
    try:
        release_lease(report, airflow_run_id(report, run_id), store=open_store())
    except ReportError as error:
        logger.warning("the lease of run %s expires by itself: %s", run_id, error)
