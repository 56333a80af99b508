"""Sends requests to Airflow's REST API, either within Airflow's own process or over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import httpx

Result = TypeVar("Result")

API_PATH = "/api/v2"
# Each call occupies one thread for its database session and another for its route. If more calls run at once than the
# pool has connections (15), they deadlock: threads that wait for a connection block the threads that would return one.
# Fewer also leave Airflow's own requests more of the process's time: with 20 readers, its slowest response took 0.3 s
# instead of 0.5 s.
MAX_CONCURRENT_CALLS = 4


class Transport(Protocol):
    """Sends requests to Airflow's REST API."""

    async def send(self, method: str, path: str, *, params: Mapping[str, Any], json: Any) -> httpx.Response:
        """Returns Airflow's response to a request for a path under ``/api/v2``."""
        ...


@dataclass(frozen=True, slots=True)
class InProcessTransport:
    """Calls the ASGI app that serves Airflow's API in the same process.

    Args:
        app: the ASGI app.
        token: identifies the user on whose behalf the transport sends requests.
    """

    app: Any
    token: str = field(repr=False)

    async def send(self, method: str, path: str, *, params: Mapping[str, Any], json: Any) -> httpx.Response:
        """Returns the app's response, or a 500 response if the app raises an exception."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url=f"http://quire{API_PATH}", headers=bearer(self.token))
        async with _concurrent_calls(asyncio.get_running_loop()), client:
            return await client.request(method, path, params=params, json=json)


@lru_cache(maxsize=1)
def _concurrent_calls(loop: asyncio.AbstractEventLoop) -> asyncio.Semaphore:
    """Returns the semaphore for the process's event loop; a semaphore cannot be used in two loops."""
    return asyncio.Semaphore(MAX_CONCURRENT_CALLS)


@dataclass(frozen=True, slots=True)
class BlockingTransport:
    """Calls a running Airflow over HTTP. Its coroutines never suspend, so ``run_blocking`` can run them.

    Args:
        client: the client that ``sign_in`` returned.
    """

    client: httpx.Client

    async def send(self, method: str, path: str, *, params: Mapping[str, Any], json: Any) -> httpx.Response:
        """Returns Airflow's response.

        Raises:
            httpx.HTTPError: Airflow cannot be reached.
        """
        return self.client.request(method, path, params=params, json=json)


def run_blocking(call: Coroutine[Any, Any, Result]) -> Result:
    """Runs a coroutine that uses a ``BlockingTransport`` and returns its result."""
    try:
        call.send(None)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    call.close()
    raise RuntimeError("the call suspended: its transport does not block")


def sign_in(url: str, *, user: str, password: str, seconds: float = 30) -> httpx.Client:
    """Signs in to a running Airflow and returns a client for its REST API.

    Args:
        url: Airflow's base URL.
        user: the user name.
        password: the user's password.
        seconds: the timeout for each request.

    Raises:
        httpx.HTTPError: Airflow cannot be reached or rejects the password.
    """
    credentials = {"username": user, "password": password}
    response = httpx.post(f"{url}/auth/token", json=credentials, timeout=seconds, trust_env=False)
    token = response.raise_for_status().json()["access_token"]
    return httpx.Client(base_url=f"{url}{API_PATH}", headers=bearer(token), timeout=seconds, trust_env=False)


def bearer(token: str) -> dict[str, str]:
    """Returns the request header that contains a token."""
    return {"Authorization": f"Bearer {token}"}
