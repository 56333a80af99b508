"""Each user's requests for single runs take turns, so many requests neither use many threads nor block others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from quire.portal.resources import MAX_USER_RUNS
from quire.portal.work_queue import TurnQueue

from tests.polling import until
from tests.portal.in_process import Portal
from tests.portal.test_run_lists import LONG
from tests.portal.test_runs import RUNS, airflow_run
from tests.portal.unreliable_stores import HungStore

PAGE = "/reports/events/runs/ask__1"
API = f"{RUNS}/ask__1"
OWN = f"{RUNS}/cli__{'a' * 32}"


class Airflow:
    """A stand-in for Airflow with one run; requests for the run block until a test releases them."""

    def __init__(self, portal: Portal) -> None:
        self.active = self.most = self.calls = 0
        self.released = threading.Event()

        @portal.host.get("/api/v2/dags/events/dagRuns/{run_id}")
        async def show_run(run_id: str) -> dict[str, Any]:
            self.calls += 1
            self.active += 1
            self.most = max(self.most, self.active)
            try:
                await until(self.released.is_set)
            finally:
                self.active -= 1
            return airflow_run(1)


def use_queue(portal: Portal, *, slots: int, seconds: float = LONG, wait: float = LONG) -> None:
    queue = TurnQueue("request", slots=slots, threads=slots, seconds=seconds, wait=wait, per_user=MAX_USER_RUNS)
    portal.use(single_runs=queue)


async def request(portal: Portal, path: str, user: str, **headers: str) -> httpx.Response:
    return await portal._request("GET", path, headers={"X-User": user, **headers})


@pytest.mark.parametrize("path", [PAGE, API, f"{API}/files"])
def test_run_reads_of_one_user_do_not_block_others(portal: Portal, path: str) -> None:
    airflow = Airflow(portal)
    use_queue(portal, slots=4)

    async def test() -> list[int]:
        tasks = [asyncio.create_task(request(portal, path, "ann")) for _ in range(20)]
        await until(lambda: airflow.active == MAX_USER_RUNS)
        other = asyncio.create_task(request(portal, path, "bob"))
        await until(lambda: airflow.active > MAX_USER_RUNS)
        assert airflow.active == MAX_USER_RUNS + 1
        airflow.released.set()
        return [(await task).status_code for task in (*tasks, other)]

    assert asyncio.run(test()) == [200] * 21
    assert airflow.most == MAX_USER_RUNS + 1


def test_run_read_without_a_free_slot_returns_503(portal: Portal) -> None:
    airflow = Airflow(portal)
    use_queue(portal, slots=1, wait=0.1)

    async def test() -> None:
        first = asyncio.create_task(request(portal, PAGE, "ann"))
        await until(lambda: airflow.active == 1)
        refused = await request(portal, API, "bob")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["detail"] == "Too many requests are running. Try again in a few seconds."
        page = await request(portal, PAGE, "bob", Accept="text/html")
        assert (page.status_code, "Too many requests are running" in page.text) == (503, True)
        airflow.released.set()
        assert (await first).status_code == 200

    asyncio.run(test())


def test_run_read_past_its_deadline_stops_calling_airflow(portal: Portal) -> None:
    airflow = Airflow(portal)
    use_queue(portal, slots=1, seconds=0.3, wait=0.3)
    refused = portal.get(API)
    assert (refused.status_code, refused.json()["detail"]) == (503, "The request timed out. Try again.")
    assert (airflow.calls, airflow.active) == (1, 0)


def test_run_reads_with_a_hung_store_use_limited_threads(portal: Portal) -> None:
    hung = HungStore()
    portal.use(open_store=lambda: hung)
    use_queue(portal, slots=2, seconds=0.3, wait=0.1)

    async def test() -> None:
        try:
            for user in ("ann", "bob", "carl", "dora"):
                assert (await request(portal, OWN, user)).status_code == 503
            assert len(hung.entered) == 2
        finally:
            hung.released.set()
        async with asyncio.timeout(LONG):
            while (await request(portal, OWN, "ann")).status_code != 404:
                await asyncio.sleep(0.01)

    asyncio.run(test())
