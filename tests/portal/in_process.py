"""The portal's own app in this process: real routes, real definitions, real store; who asks is set by the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI
from quire.object_store import ObjectStore
from quire.portal import access, services
from quire.portal.airflow_api import AirflowApi
from quire.portal.app import create_app
from quire.portal.lazy import HOST

READ, EDIT, START = ("GET", None), ("PUT", None), ("POST", "RUN")


@dataclass
class Portal:
    """The app and who asks it.

    Args:
        app: the portal's.
        host: what stands for Airflow's own API.
        user: the caller's name.
        rights: of the caller, on every report.
    """

    app: FastAPI
    host: FastAPI
    user: str = "reader"
    rights: set[tuple[str, str | None]] = field(default_factory=lambda: {READ, START})

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """Returns the answer to one request; an app that fails after it began to answer raises."""
        return asyncio.run(self._request(method, path, **sent))

    async def _request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, HOST: self.host}, receive, send)

        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://quire.example.org") as client:
            return await client.request(method, path, **sent)

    def get(self, path: str, **sent: Any) -> httpx.Response:
        """Returns the answer to a GET."""
        return self.request("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        """Returns the answer to a POST."""
        return self.request("POST", path, **sent)


def open_portal(monkeypatch: pytest.MonkeyPatch, store: Callable[[], ObjectStore]) -> Portal:
    """Returns the portal over a store and the definitions of ``QUIRE_INCLUDE``."""
    portal = Portal(_made_app(), FastAPI())

    def caller() -> access.Caller:
        user = SimpleAuthManagerUser(username=portal.user, role="user")
        return access.Caller(user=user, api=AirflowApi(portal.host, "token"), is_program=True)

    def may(caller: access.Caller, report: str, method: str, entity: Any) -> bool:
        return (method, getattr(entity, "name", None)) in portal.rights

    portal.app.dependency_overrides = {access._caller: caller, services._store: store}
    monkeypatch.setattr(access, "may", may)
    return portal


@cache
def _made_app() -> FastAPI:
    """Making its routes takes a second."""
    return create_app()


def airflow_runs(portal: Portal, runs: Collection[dict[str, Any]]) -> None:
    """Lets Airflow have these runs, of every report."""

    @portal.host.get("/api/v2/dags/{dag_id}/dagRuns")
    def list_runs(dag_id: str, limit: int = 100, offset: int = 0) -> dict[str, Any]:
        return {"dag_runs": list(runs)[offset : offset + limit], "total_entries": len(runs)}
