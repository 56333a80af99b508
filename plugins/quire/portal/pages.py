"""The pages: what the API tells, for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from anyio.to_thread import run_sync
from fastapi import APIRouter, BackgroundTasks, HTTPException, Request, status
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from pydantic import StringConstraints

from quire.errors import TransientError, UsageError
from quire.portal.access import TOKEN_FIELD, AskingDep, Caller, CallerDep, CancellingDep, Reading, ReadingDep, RunId
from quire.portal.api import LIMIT, OFFSET, cancel
from quire.portal.error_messages import explain
from quire.portal.listing import list_for, run_for
from quire.portal.page_formats import FILTERS, shown_range
from quire.portal.page_summaries import PageSummaries, summaries_for
from quire.portal.reports import list_broken_reports, list_reports, parameter_titles, read_catalog, show_report
from quire.portal.request_checks import check_question, request_run
from quire.portal.run_requests import BusyError, PausedError, QuotaError
from quire.portal.services import BaseDep, StoreDep
from quire.urls import PREFIX, run_path

router = APIRouter(include_in_schema=False)
HERE = Path(__file__).parent
LISTED = 20
_TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape(), undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
_TEMPLATES.filters.update(FILTERS)
_TEMPLATES.globals["days"] = shown_range
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z]+\.(css|js|svg)$")]


def page(name: str, caller: Caller | None, base: str, *, status_code: int = 200, **shown: Any) -> HTMLResponse:
    """Returns a page made from a template."""
    body = _TEMPLATES.get_template(name).render(
        base=base, caller=caller, now=datetime.now(UTC), token_field=TOKEN_FIELD, **shown
    )
    return HTMLResponse(body, status_code)


@router.get("/")
async def show_reports(caller: CallerDep, base: BaseDep) -> Response:
    """The reports that the caller may see."""
    catalog = await read_catalog()
    reports, broken = await list_reports(caller, catalog, base), await list_broken_reports(caller, catalog)
    return page("reports.html", caller, base, reports=reports, broken=broken)


@router.get("/reports/{report}")
async def show_one(
    request: Request,
    reading: ReadingDep,
    store: StoreDep,
    base: BaseDep,
    limit: Annotated[int, LIMIT] = LISTED,
    offset: Annotated[int, OFFSET] = 0,
) -> Response:
    """A report's form and its runs."""
    return await _report_page(request, reading, store, base, limit=limit, offset=offset)


async def _report_page(
    request: Request,
    reading: Reading,
    store: StoreDep,
    base: str,
    *,
    limit: int = LISTED,
    offset: int = 0,
    given: Mapping[str, Any] | None = None,
    error: str = "",
    status_code: int = 200,
) -> Response:
    listed = await list_for(request, reading, store, base, limit=limit, offset=offset)
    report = await run_sync(show_report, reading, base)
    return page(
        "report.html", reading.caller, base, status_code=status_code,
        report=report, runs=listed.runs, notice=listed.notice, titles=parameter_titles(reading.definition),
        all_formats=report.reader_formats, given=given or {}, error=error,
        newer=_query(max(offset - limit, 0), limit) if offset else "",
        older=_query(offset + limit, limit) if listed.total > offset + limit else "",
    )  # fmt: skip


def _query(offset: int, limit: int) -> str:
    return urlencode({"offset": offset, "limit": limit})


@router.post("/reports/{report}")
async def ask_report(asking: AskingDep, request: Request, store: StoreDep, base: BaseDep) -> Response:
    """Asks what the form says, and goes to the run's page."""
    form = await request.form()
    given = {name: value for name, value in form.items() if name != TOKEN_FIELD and isinstance(value, str)}
    parameters = {name: given[name] for name in asking.definition.parameters if given.get(name)}
    formats = [value for value in form.getlist("formats") if isinstance(value, str)]
    told = {**given, "formats": formats}
    try:
        question = await check_question(
            asking,
            start=given.get("start", ""),
            end=given.get("end", ""),
            parameters=parameters,
            formats=formats,
        )
        run_id, _ = await request_run(asking, question, store)
    except (UsageError, PausedError, BusyError, QuotaError, TransientError) as error:
        status_code, reason = explain(error)
        return await _report_page(request, asking, store, base, given=told, error=reason, status_code=status_code)
    return RedirectResponse(f"{base}{run_path(asking.definition.name, run_id)}", status.HTTP_303_SEE_OTHER)


@router.get("/reports/{report}/runs/{run_id}")
async def show_one_run(
    request: Request, reading: ReadingDep, run_id: RunId, store: StoreDep, base: BaseDep
) -> Response:
    """A run: its progress, then what came of it."""
    definition = reading.definition
    run, manifest = await run_for(request, reading, run_id, store, base)
    report = await run_sync(show_report, reading, base)
    summaries = await summaries_for(reading, manifest, store=store) if manifest else PageSummaries()
    return page(
        "run.html", reading.caller, base,
        report=report, run=run, summaries=summaries,
        titles=parameter_titles(definition), link_ttl=definition.delivery.link_ttl,
    )  # fmt: skip


@router.post("/reports/{report}/runs/{run_id}/cancel")
async def cancel_run(cancelling: CancellingDep, run_id: RunId, background: BackgroundTasks, base: BaseDep) -> Response:
    """Ends a run, and shows it."""
    await cancel(cancelling, run_id, background)
    return RedirectResponse(f"{base}{run_path(cancelling.definition.name, run_id)}", status.HTTP_303_SEE_OTHER)


@router.get("/static/{name}")
def get_static(caller: CallerDep, name: FileName) -> Response:
    """The pages' style and script."""
    path = HERE / "static" / name
    if not path.is_file():
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no file {name}")
    return FileResponse(path, headers={"Cache-Control": "no-cache"})


@router.get("/openapi.json")
def get_openapi(caller: CallerDep, request: Request, base: BaseDep) -> dict[str, Any]:
    """The API's description."""
    return {**request.app.openapi(), "servers": [{"url": f"{base}{PREFIX}"}]}


@router.get("/docs")
def show_docs(caller: CallerDep, request: Request, base: BaseDep) -> Response:
    """The API's description, for people."""
    return page("docs.html", caller, base, api=request.app.openapi())
