"""Requests are validated outside the event loop, one per user at a time, without blocking other users."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI
from quire.airflow_api.client import AirflowApi
from quire.airflow_api.transports import InProcessTransport
from quire.object_store.memory_store import MemoryStore
from quire.portal.access import Caller, ReportAccess
from quire.portal.job_deadline import Deadline
from quire.portal.request_checks import validate_request
from quire.portal.resources import PortalResources
from quire.portal.work_queue import MAX_WAITING, WorkQueue

from tests.events import SQL, events_report
from tests.polling import until
from tests.portal.in_process import Portal, open_portal_of_many

DAYS = {"start": "2013-01-01", "end": "2013-01-31"}
ESTIMATE = "/api/reports/events/estimate"
LONG = 60.0
UNHELD = "bob"
REFUSED = "start 2013-02-01 is after end 2013-01-31"

Answer = TypeVar("Answer")


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
    parameters = Parameters(kind="a")
    asyncio.run(validate_request(reading, PortalResources(), **DAYS, parameters=parameters))
    assert threads
    assert threading.get_ident() not in threads


class HeldChecks(WorkQueue):
    """A queue in which every user's validations except bob's block until a test releases them."""

    def __init__(self, *, wait: float) -> None:
        super().__init__("check", slots=2, seconds=LONG, wait=wait)
        self.released, self.held = threading.Event(), 0

    async def run(self, user: str, work: Callable[[Deadline], Answer], *, supersedes: bool = True) -> Answer:
        """Returns ``work``'s result."""

        def hold(deadline: Deadline) -> Answer:
            if user != UNHELD:
                self.held += 1
                assert self.released.wait(LONG)
            return work(deadline)

        return await super().run(user, hold, supersedes=supersedes)


@pytest.fixture
def portal(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal_of_many(lambda: store)


def hold_checks(portal: Portal, *, wait: float) -> HeldChecks:
    checks = HeldChecks(wait=wait)
    portal.use(validations=checks)
    return checks


async def request(portal: Portal, user: str) -> httpx.Response:
    """Sends an invalid request and returns the response."""
    body = {"start": "2013-02-01", "end": "2013-01-31"}
    return await portal._request("POST", ESTIMATE, json=body, headers={"X-User": user})


async def until_held(checks: HeldChecks, count: int) -> None:
    await until(lambda: checks.held >= count)


def test_validate_request_of_one_user_does_not_block_others(portal: Portal) -> None:
    checks = hold_checks(portal, wait=LONG)

    async def test() -> tuple[httpx.Response, list[httpx.Response]]:
        first = asyncio.create_task(request(portal, "ann"))
        await until_held(checks, 1)
        flood = [asyncio.create_task(request(portal, "ann")) for _ in range(120)]
        await until(lambda: sum(task.done() for task in flood) == 120 - MAX_WAITING)  # the others are waiting
        try:
            async with asyncio.timeout(LONG / 4):
                other = await request(portal, UNHELD)
        finally:
            checks.released.set()
        return other, [await first, *[await task for task in flood]]

    other, flood = asyncio.run(test())
    assert (other.status_code, other.json()["detail"]) == (422, REFUSED)
    statuses = [response.status_code for response in flood]
    assert (statuses.count(422), statuses.count(503)) == (1 + MAX_WAITING, 120 - MAX_WAITING)
    refused = next(response for response in flood if response.status_code == 503)
    assert refused.json()["detail"] == "Too many of your requests are waiting. Try again in a few seconds."
    assert int(refused.headers["retry-after"]) >= 1


def test_validate_request_without_a_free_slot_returns_503(portal: Portal) -> None:
    checks = hold_checks(portal, wait=0.1)

    async def test() -> httpx.Response:
        held = []
        for number, user in enumerate(("ann", "dora"), start=1):
            held.append(asyncio.create_task(request(portal, user)))
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
