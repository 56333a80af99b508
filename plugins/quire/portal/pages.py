"""The HTML pages, which show the same records that the API returns."""

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

from quire.date_range import zone
from quire.errors import TransientError, UsageError
from quire.portal.access import (
    TOKEN_FIELD,
    Caller,
    CallerDep,
    CancelAccessDep,
    ReadAccessDep,
    ReportAccess,
    RequestAccessDep,
    RunId,
    read_check,
    sign_check,
)
from quire.portal.api import LIMIT, OFFSET, SEARCH, cancel
from quire.portal.dependencies import BaseDep, ResourcesDep
from quire.portal.error_messages import explain
from quire.portal.page_formats import FILTERS, format_date_range
from quire.portal.page_summaries import PageSummaries
from quire.portal.reports import find_reports, list_broken_reports, parameter_titles, read_catalog, show_report
from quire.portal.request_checks import request_run, validate_request
from quire.portal.run_reader import RunReader, RunReaderDep
from quire.portal.run_requests import PausedError
from quire.portal_urls import PREFIX, report_path, run_path

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).parent
RUNS_PER_PAGE = 20
_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"), autoescape=select_autoescape(), undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
_TEMPLATES.filters.update(FILTERS)
_TEMPLATES.globals["date_range"] = format_date_range
_TEMPLATES.globals["report_path"] = report_path
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z]+\.(css|js|svg)$")]


def render_page(
    template: str, caller: Caller | None, base: str, *, status_code: int = 200, **variables: Any
) -> HTMLResponse:
    """Returns a page rendered from a template."""
    body = _TEMPLATES.get_template(template).render(
        base=base, caller=caller, now=datetime.now(UTC), token_field=TOKEN_FIELD, **variables
    )
    return HTMLResponse(body, status_code)


@router.get("/")
async def show_reports(
    caller: CallerDep, resources: ResourcesDep, base: BaseDep, *, search: Annotated[str, SEARCH] = ""
) -> Response:
    """Shows the reports that the caller may read."""
    catalog = await read_catalog(resources)
    reports, broken = await find_reports(caller, catalog, search), await list_broken_reports(caller, catalog)
    return render_page("reports.html", caller, base, reports=reports, broken=broken, search=search)


@router.get("/reports/{report}")
async def show_report_page(
    access: ReadAccessDep,
    reader: RunReaderDep,
    limit: Annotated[int, LIMIT] = RUNS_PER_PAGE,
    *,
    offset: Annotated[int, OFFSET] = 0,
) -> Response:
    """Shows a report's form and runs."""
    return await _report_page(access, reader, limit=limit, offset=offset)


async def _report_page(
    access: ReportAccess,
    reader: RunReader,
    *,
    limit: int = RUNS_PER_PAGE,
    offset: int = 0,
    fields: Mapping[str, Any] | None = None,
    error: str = "",
    status_code: int = 200,
) -> Response:
    run_list = await reader.read_list(access, limit=limit, offset=offset)
    report = await run_sync(show_report, access, reader.base)
    return render_page(
        "report.html", access.caller, reader.base, status_code=status_code,
        report=report, runs=run_list.runs, message=run_list.message, titles=parameter_titles(access.definition),
        all_formats=report.reader_formats, fields=fields or {}, error=error,
        newer=_page_query(max(offset - limit, 0), limit) if offset else "",
        older=_page_query(offset + limit, limit) if run_list.total > offset + limit else "",
    )  # fmt: skip


def _page_query(offset: int, limit: int) -> str:
    return urlencode({"offset": offset, "limit": limit})


@router.post("/reports/{report}")
async def request_report(
    access: RequestAccessDep, request: Request, resources: ResourcesDep, *, reader: RunReaderDep
) -> Response:
    """Requests a run with the form's values, then redirects to the run's page."""
    form = await request.form()
    fields = {name: value for name, value in form.items() if name != TOKEN_FIELD and isinstance(value, str)}
    parameters = {name: fields[name] for name in access.definition.parameters if fields.get(name)}
    formats = [value for value in form.getlist("formats") if isinstance(value, str)]
    try:
        report_request = await validate_request(
            access,
            resources,
            start=fields.get("start", ""),
            end=fields.get("end", ""),
            parameters=parameters,
            formats=formats,
        )
        requested = await request_run(access, report_request, resources=resources, store=reader.store)
    except (UsageError, PausedError, TransientError) as error:
        status_code, message = explain(error)
        fields_and_formats = {**fields, "formats": formats}
        return await _report_page(access, reader, fields=fields_and_formats, error=message, status_code=status_code)
    page = f"{reader.base}{run_path(access.definition.name, requested.run_id)}"
    if requested.unchanged:
        page += f"?{urlencode({'checked': sign_check(requested.unchanged.manifest)})}"
    return RedirectResponse(page, status.HTTP_303_SEE_OTHER)


@router.get("/reports/{report}/runs/{run_id}")
async def show_run_page(
    access: ReadAccessDep, run_id: RunId, resources: ResourcesDep, *, reader: RunReaderDep, checked: str = ""
) -> Response:
    """Shows a run's progress or outcome, and when the portal last found the run's rows unchanged."""
    definition = access.definition
    run, manifest = await reader.read_run(access, run_id)
    report = await run_sync(show_report, access, reader.base)
    load, user = resources.summaries.load, access.caller.user.get_id()
    summaries = await load(definition, manifest, user=user, store=reader.store) if manifest else PageSummaries()
    return render_page(
        "run.html", access.caller, reader.base,
        report=report, run=run, summaries=summaries, checked_at=read_check(manifest, checked) if manifest else None,
        unchanged_since=manifest.unchanged_since.astimezone(zone(definition.timezone)) if manifest else None,
        titles=parameter_titles(definition), link_ttl=definition.delivery.link_ttl,
    )  # fmt: skip


@router.post("/reports/{report}/runs/{run_id}/cancel")
async def cancel_run(
    access: CancelAccessDep, run_id: RunId, background: BackgroundTasks, *, resources: ResourcesDep, base: BaseDep
) -> Response:
    """Cancels a run, then redirects to the run's page."""
    await cancel(access, run_id, background, resources=resources)
    return RedirectResponse(f"{base}{run_path(access.definition.name, run_id)}", status.HTTP_303_SEE_OTHER)


@router.get("/static/{name}")
def get_static(caller: CallerDep, name: FileName) -> Response:
    """Returns a style sheet, script or image."""
    path = FOLDER / "static" / name
    if not path.is_file():
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no file {name}.")
    return FileResponse(path, headers={"Cache-Control": "no-cache"})


@router.get("/openapi.json")
def get_openapi(caller: CallerDep, request: Request, base: BaseDep) -> dict[str, Any]:
    """Returns the API's OpenAPI description."""
    return {**request.app.openapi(), "servers": [{"url": f"{base}{PREFIX}"}]}


@router.get("/docs")
def show_docs(caller: CallerDep, request: Request, base: BaseDep) -> Response:
    """Shows the API reference."""
    return render_page("docs.html", caller, base, api=request.app.openapi())
