"""Request validation: it runs outside the event loop, one request per user at a time, without blocking other users."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI, Request
from quire.airflow_client.client import AirflowApi
from quire.airflow_client.transports import InProcessTransport
from quire.errors import ParameterError
from quire.object_store.s3_store import S3Store
from quire.portal import request_checks
from quire.portal.access import Caller, ReportAccess, _caller
from quire.portal.work_queue import MAX_WAITING, WorkQueue
from quire.report.definition import ReportDefinition

from tests.events import SQL, events_report
from tests.portal.in_process import Portal, open_portal

DAYS = {"start": "2013-01-01", "end": "2013-01-31"}
ESTIMATE = "/api/reports/events/estimate"
LONG = 60.0


def test_validate_request_runs_outside_the_event_loop(tmp_path: Path) -> None:
    definition = events_report(
        tmp_path,
        sql=SQL.replace("ORDER", "AND (%(kind)s IS NULL OR kind = %(kind)s)\nORDER"),
        parameters={"kind": {"type": "string", "default": None}},
    )
    user = SimpleAuthManagerUser(username="ann", role="user")
    caller = Caller(user=user, api=AirflowApi(InProcessTransport(FastAPI(), "token")), is_program=True)
    threads = list[int]()

    class Parameters(dict[str, object]):
        def __iter__(self) -> Iterator[str]:
            threads.append(threading.get_ident())
            return super().__iter__()

    reading = ReportAccess(caller=caller, definition=definition)
    asyncio.run(request_checks.validate_request(reading, **DAYS, parameters=Parameters(kind="a")))
    assert threads
    assert threading.get_ident() not in threads


class HeldChecks:
    """Validations that reject every request; requests for dates in 2014 block until they are released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, wait: float) -> None:
        self.released, self.held = threading.Event(), 0
        monkeypatch.setattr(request_checks, "parse_request", self._read)
        queue = WorkQueue("check", slots=2, seconds=LONG, wait=wait)
        monkeypatch.setattr(request_checks, "_VALIDATIONS", queue)

    def _read(self, definition: ReportDefinition, *, start: str, **fields: Any) -> Any:
        if start.startswith("2014"):
            self.held += 1
            assert self.released.wait(LONG)
        raise ParameterError("checked")


@pytest.fixture
def portal(tmp_path: Path, bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> Portal:
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    opened = open_portal(monkeypatch, lambda: bucket)

    def caller(request: Request) -> Caller:
        user = SimpleAuthManagerUser(username=request.headers["x-user"], role="user")
        return Caller(user=user, api=AirflowApi(InProcessTransport(opened.host, "token")), is_program=True)

    opened.app.dependency_overrides[_caller] = caller
    return opened


async def request(portal: Portal, user: str, start: str = "2013-01-01") -> httpx.Response:
    body = {"start": start, "end": start}
    return await portal._request("POST", ESTIMATE, json=body, headers={"X-User": user})


async def until_held(checks: HeldChecks, count: int) -> None:
    async with asyncio.timeout(LONG):
        while checks.held < count:
            await asyncio.sleep(0.01)


def test_validate_request_of_one_user_does_not_block_others(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = HeldChecks(monkeypatch, wait=LONG)

    async def test() -> tuple[httpx.Response, list[httpx.Response]]:
        first = asyncio.create_task(request(portal, "ann", "2014-01-01"))
        await until_held(checks, 1)
        flood = [asyncio.create_task(request(portal, "ann", "2014-01-01")) for _ in range(120)]
        await asyncio.sleep(0.2)  # gives every validation that can start enough time to do so
        try:
            async with asyncio.timeout(LONG / 4):
                other = await request(portal, "bob")
        finally:
            checks.released.set()
        return other, [await first, *[await task for task in flood]]

    other, flood = asyncio.run(test())
    assert (other.status_code, other.json()["detail"]) == (422, "checked")
    statuses = [response.status_code for response in flood]
    assert (statuses.count(422), statuses.count(503)) == (1 + MAX_WAITING, 120 - MAX_WAITING)
    refused = next(response for response in flood if response.status_code == 503)
    assert refused.json()["detail"] == "Too many of your requests are waiting. Try again in a few seconds."
    assert int(refused.headers["retry-after"]) >= 1


def test_validate_request_without_a_free_slot_returns_503(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = HeldChecks(monkeypatch, wait=0.1)

    async def test() -> httpx.Response:
        held = []
        for number, user in enumerate(("ann", "bob"), start=1):
            held.append(asyncio.create_task(request(portal, user, "2014-01-01")))
            await until_held(checks, number)
        try:
            async with asyncio.timeout(LONG / 4):
                return await request(portal, "carl")
        finally:
            checks.released.set()
            await asyncio.gather(*held)

    refused = asyncio.run(test())
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    assert refused.json()["detail"].startswith("Too many checks are running")
