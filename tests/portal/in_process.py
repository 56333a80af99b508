"""Runs the portal in this process with real routes and definitions; the test sets the caller and the resources."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import httpx
import uvicorn
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI, Request
from fastapi.middleware.gzip import GZipMiddleware
from quire.airflow_api.client import MAX_PAGES, AirflowApi
from quire.airflow_api.transports import InProcessTransport
from quire.object_store import Store
from quire.portal import access
from quire.portal.dependencies import portal_resources
from quire.portal.lazy_app import HOST
from quire.portal.portal_app import create_app
from quire.portal.resources import PortalResources
from quire.report.catalog import load_catalog
from quire.settings import include_folder
from starlette.middleware.base import BaseHTTPMiddleware

READ, EDIT, START = ("GET", None), ("PUT", None), ("POST", "RUN")


@dataclass
class Portal:
    """The portal's app, and the caller of its routes.

    Args:
        app: the portal's app.
        host: the app that stands in for Airflow's API.
        resources: the app's store, queues, caches and limits.
        user: the caller's name.
        rights: the caller's permissions on every report.
        max_pages: the maximum number of pages to read from a collection in Airflow's API.
    """

    app: FastAPI
    host: FastAPI
    resources: PortalResources
    user: str = "reader"
    rights: set[tuple[str, str | None]] = field(default_factory=lambda: {READ, START})
    max_pages: int = MAX_PAGES

    def use(self, **resources: Any) -> None:
        """Replaces some of the app's resources."""
        self.resources = replace(self.resources, **resources)

    def caller(self, user: str) -> access.Caller:
        """Returns a caller who has the permissions in ``rights``."""
        api = AirflowApi(InProcessTransport(self.host, "token"), max_pages=self.max_pages)
        return access.Caller(
            user=SimpleAuthManagerUser(username=user, role="user"),
            api=api,
            is_program=True,
            authorizer=self,
        )

    def is_authorized(self, user: object, report: str, method: str, entity: Any) -> bool:
        """Returns whether ``rights`` contains a permission."""
        return (method, getattr(entity, "name", None)) in self.rights

    def readable_dags(self, user: object) -> set[str]:
        """Returns the names of all reports if ``rights`` contains the permission to read them."""
        return set(load_catalog(include_folder()).definitions) if READ in self.rights else set()

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """Sends a request and returns the response. Raises an error if the app fails after it has begun to respond."""
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


def open_portal(open_store: Callable[[], Store], **resources: Any) -> Portal:
    """Returns a portal with new resources and the definitions in ``QUIRE_INCLUDE``."""
    portal = Portal(_cached_app(), FastAPI(), PortalResources(open_store=open_store, **resources))
    portal.app.dependency_overrides = {
        access._caller: lambda: portal.caller(portal.user),
        portal_resources: lambda: portal.resources,
    }
    return portal


def open_portal_of_many(open_store: Callable[[], Store], **resources: Any) -> Portal:
    """Returns a portal that identifies a caller by the X-User header; without it, the caller is "ann"."""
    portal = open_portal(open_store, **resources)

    def caller(request: Request) -> access.Caller:
        return portal.caller(request.headers.get("x-user", "ann"))

    portal.app.dependency_overrides[access._caller] = caller
    return portal


@cache
def _cached_app() -> FastAPI:
    """Returns the app, which is cached because creating its routes takes a second."""
    return create_app()


CLIENT = httpx.Client()  # tests share it, because each new client spends 20 ms loading every authority's certificates


class PromptServer(uvicorn.Server):
    """A server that stops within 10 ms instead of 100 ms."""

    async def main_loop(self) -> None:
        while not self.should_exit:
            await self.on_tick(0)
            await asyncio.sleep(0.01)


@contextmanager
def serve(app: Any, **options: Any) -> Iterator[str]:
    """Serves an app with uvicorn, like Airflow, and yields the app's URL."""
    running = PromptServer(uvicorn.Config(app, port=0, loop="asyncio", lifespan="off", log_level="critical", **options))
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
    """Returns an app with the portal at ``/quire`` and with the Airflow API server's middleware."""
    host = FastAPI()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await portal.app({**scope, HOST: portal.host}, receive, send)

    host.mount("/quire", app)
    host.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
    host.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=5)
    return host
