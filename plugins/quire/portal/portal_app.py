"""The portal app, which serves the pages and the API from within Airflow's API server."""

from __future__ import annotations

from urllib.parse import urlencode

import polars  # noqa: F401 - the first check for changes would import it, after the garbage collector was frozen
from fastapi import FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteError

from quire import __version__
from quire.errors import ReportError
from quire.portal import api, downloads, pages
from quire.portal.dependencies import base_path
from quire.portal.error_messages import explain
from quire.portal.job_deadline import SupersededError
from quire.portal.resources import PortalResources
from quire.portal_urls import PREFIX

SECURITY_HEADERS = {
    # blocks resources from other origins; only Airflow's own pages may frame the portal
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
RETRY_AFTER = {status.HTTP_429_TOO_MANY_REQUESTS: "30", status.HTTP_503_SERVICE_UNAVAILABLE: "5"}  # seconds
HEADINGS = {
    status.HTTP_403_FORBIDDEN: "Access denied",
    status.HTTP_404_NOT_FOUND: "Not found",
    status.HTTP_422_UNPROCESSABLE_CONTENT: "Invalid request",
    status.HTTP_429_TOO_MANY_REQUESTS: "Too many requests",
    status.HTTP_503_SERVICE_UNAVAILABLE: "Temporarily unavailable",
}
SUPERSEDED_RETRY_AFTER = "2"  # the newer estimate belongs to the same caller


def create_app(resources: PortalResources | None = None) -> FastAPI:
    """Creates the app, with new resources unless ``resources`` is given. All routes require authentication."""
    app = FastAPI(
        title="Quire", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
        description="Request reports for any date range and download their workbooks from permanent links.",
        responses=api.ERROR_RESPONSES,  # type: ignore[arg-type]
    )  # fmt: skip
    app.state.resources = resources or PortalResources()
    app.router.redirect_slashes = False  # Starlette would use the Host header for the redirect
    app.include_router(api.router)
    app.include_router(api.broken_router)
    app.include_router(downloads.router)
    app.include_router(pages.router)
    for error in (StarletteError, RequestValidationError, ReportError):
        app.add_exception_handler(error, _respond_with_error)
    app.add_exception_handler(downloads.FilesMissingError, _respond_with_missing_files)
    app.middleware("http")(_add_security_headers)
    return app


async def _add_security_headers(request: Request, call_next: object) -> Response:
    response: Response = await call_next(request)  # type: ignore[operator]
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _respond_with_error(request: Request, error: Exception) -> Response:
    """Responds to an error with JSON for programs, or with a page for browsers."""
    status_code, message = explain(error)
    base = base_path(request)
    retry_after = SUPERSEDED_RETRY_AFTER if isinstance(error, SupersededError) else RETRY_AFTER.get(status_code)
    headers = {"Retry-After": retry_after} if retry_after else {}
    path = request.url.path.removeprefix(base)
    if path.startswith(f"{PREFIX}/api/") or not _accepts_html(request):
        return JSONResponse({"detail": message}, status_code, headers=headers)
    if status_code == status.HTTP_401_UNAUTHORIZED and request.method == "GET":
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{base}/api/v2/auth/login?{urlencode({'next': target})}", status.HTTP_302_FOUND)
    heading = HEADINGS.get(status_code, "Something went wrong")
    page = pages.render_page("error.html", None, base, status_code=status_code, heading=heading, message=message)
    page.headers.update(headers)
    return page


async def _respond_with_missing_files(request: Request, error: Exception) -> Response:
    """Responds that files are missing. The page offers authorized users a button to create the report again."""
    assert isinstance(error, downloads.FilesMissingError)  # noqa: S101 - registered for this class only
    if not _accepts_html(request):
        return JSONResponse({"detail": str(error)}, status.HTTP_410_GONE)
    return pages.render_page(
        "missing.html", error.caller, base_path(request), status_code=status.HTTP_410_GONE,
        message=str(error), manifest=error.manifest,
    )  # fmt: skip


def _accepts_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
