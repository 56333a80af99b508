"""The portal: one app for the pages and the API, mounted in Airflow's API server."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteError

from quire import __version__
from quire.airflow_api.client import NotFoundError, RefusedError
from quire.errors import ReportError
from quire.portal import api, downloads, pages
from quire.portal.error_messages import explain
from quire.portal.run_requests import BusyError, PausedError, QuotaError
from quire.portal.services import base_of
from quire.portal.work_queue import SupersededError
from quire.urls import PREFIX

SAFETY = {
    # nothing from elsewhere, and no frame but Airflow's own page
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
RETRY_AFTER = {status.HTTP_429_TOO_MANY_REQUESTS: "30", status.HTTP_503_SERVICE_UNAVAILABLE: "5"}  # seconds
SUPERSEDED_RETRY_AFTER = "2"  # the newer estimate is the caller's own


def create_app() -> FastAPI:
    """Returns the app. It has no route that answers somebody who is not signed in."""
    app = FastAPI(
        title="Quire", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
        description="Reports over any range of days, as workbooks, with links that stay.",
        responses=api.REFUSALS,  # type: ignore[arg-type]
    )  # fmt: skip
    app.router.redirect_slashes = False  # Starlette would build the address from the Host header
    app.include_router(api.router)
    app.include_router(api.broken_router)
    app.include_router(downloads.router)
    app.include_router(pages.router)
    for error in (
        StarletteError,
        RequestValidationError,
        ReportError,
        NotFoundError,
        RefusedError,
        BusyError,
        PausedError,
        QuotaError,
        SupersededError,
    ):
        app.add_exception_handler(error, _told)
    app.add_exception_handler(downloads.FilesMissingError, _offer_again)
    app.middleware("http")(_safely)
    return app


async def _safely(request: Request, proceed: object) -> Response:
    answer: Response = await proceed(request)  # type: ignore[operator]
    for name, value in SAFETY.items():
        answer.headers.setdefault(name, value)
    return answer


async def _told(request: Request, error: Exception) -> Response:
    """Returns what went wrong, as JSON to programs, and as a page to people."""
    status_code, reason = explain(error)
    base = base_of(request)
    retry_after = SUPERSEDED_RETRY_AFTER if isinstance(error, SupersededError) else RETRY_AFTER.get(status_code)
    headers = {"Retry-After": retry_after} if retry_after else {}
    path = request.url.path.removeprefix(base)
    if path.startswith(f"{PREFIX}/api/") or not _reads_pages(request):
        return JSONResponse({"detail": reason}, status_code, headers=headers)
    if status_code == status.HTTP_401_UNAUTHORIZED and request.method == "GET":
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{base}/api/v2/auth/login?{urlencode({'next': asked})}", status.HTTP_302_FOUND)
    answer = pages.page("error.html", None, base, status_code=status_code, reason=reason)
    answer.headers.update(headers)
    return answer


async def _offer_again(request: Request, error: Exception) -> Response:
    """Returns that files are missing; to people who may, with a button that creates the report again."""
    assert isinstance(error, downloads.FilesMissingError)  # noqa: S101 - registered for nothing else
    if not _reads_pages(request):
        return JSONResponse({"detail": str(error)}, status.HTTP_410_GONE)
    return pages.page(
        "missing.html", error.caller, base_of(request), status_code=status.HTTP_410_GONE,
        reason=str(error), manifest=error.manifest,
    )  # fmt: skip


def _reads_pages(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
