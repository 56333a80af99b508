"""Runs the portal in this process with real routes, definitions and a real store; the test chooses the caller."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import pytest
import uvicorn
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from quire.airflow_client.client import AirflowApi
from quire.airflow_client.transports import InProcessTransport
from quire.object_store.s3_store import S3Store
from quire.portal import access, dependencies, reports
from quire.portal.app import create_app
from quire.portal.lazy_app import HOST
from starlette.middleware.base import BaseHTTPMiddleware

READ, EDIT, START = ("GET", None), ("PUT", None), ("POST", "RUN")


@dataclass
class Portal:
    """The portal's app and its caller.

    Args:
        app: the portal's app.
        host: the app that stands in for Airflow's API.
        user: the caller's name.
        rights: the caller's permissions on every report.
    """

    app: FastAPI
    host: FastAPI
    user: str = "reader"
    rights: set[tuple[str, str | None]] = field(default_factory=lambda: {READ, START})

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """Returns the response to a request. Raises an error if the app fails after it has begun its response."""
        return asyncio.run(self._request(method, path, **sent))

    async def _request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, HOST: self.host}, receive, send)

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://quire.example.org") as client:
            return await client.request(method, path, **sent)

    def get(self, path: str, **sent: Any) -> httpx.Response:
        """Returns the response to a GET request."""
        return self.request("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        """Returns the response to a POST request."""
        return self.request("POST", path, **sent)


def open_portal(monkeypatch: pytest.MonkeyPatch, store: Callable[[], S3Store]) -> Portal:
    """Returns a portal with a store and the definitions in ``QUIRE_INCLUDE``."""
    portal = Portal(_cached_app(), FastAPI())

    def caller() -> access.Caller:
        user = SimpleAuthManagerUser(username=portal.user, role="user")
        return access.Caller(user=user, api=AirflowApi(InProcessTransport(portal.host, "token")), is_program=True)

    def is_authorized(caller: access.Caller, report: str, method: str, entity: Any) -> bool:
        return (method, getattr(entity, "name", None)) in portal.rights

    portal.app.dependency_overrides = {access._caller: caller, dependencies._store: store}
    monkeypatch.setattr(access, "is_authorized", is_authorized)
    monkeypatch.setattr(reports, "is_authorized", is_authorized)
    return portal


def open_portal_of_many(monkeypatch: pytest.MonkeyPatch, store: Callable[[], S3Store]) -> Portal:
    """Returns a portal that identifies callers by the header X-User; without the header, the caller is "ann"."""
    portal = open_portal(monkeypatch, store)

    def caller(request: Request) -> access.Caller:
        user = SimpleAuthManagerUser(username=request.headers.get("x-user", "ann"), role="user")
        return access.Caller(user=user, api=AirflowApi(InProcessTransport(portal.host, "token")), is_program=True)

    portal.app.dependency_overrides[access._caller] = caller
    return portal


@cache
def _cached_app() -> FastAPI:
    """Returns the app, cached because creating its routes takes a second."""
    return create_app()


@contextmanager
def serve(app: Any, **options: Any) -> Iterator[str]:
    """Serves an app with uvicorn, as Airflow does, and yields its URL."""
    running = uvicorn.Server(
        uvicorn.Config(app, port=0, loop="asyncio", lifespan="off", log_level="critical", **options)
    )
    ready = threading.Event()

    async def run() -> None:
        task = asyncio.create_task(running.serve())
        while not running.started:
            await asyncio.sleep(0.01)
        ready.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(30)
        host, port = running.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        running.should_exit = True
        thread.join()


def mounted(portal: Portal) -> FastAPI:
    """Returns an app with the portal at ``/quire`` and the middleware of Airflow's API server."""
    host = FastAPI()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await portal.app({**scope, HOST: portal.host}, receive, send)

    host.mount("/quire", app)
    host.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    host.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    return host
