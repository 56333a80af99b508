"""A run list makes few calls to Airflow's API and stops when the client disconnects; a user loads one at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import httpx
import pytest
from quire.portal import run_outcomes
from quire.portal.run_outcomes import RunOutcomes
from quire.portal.work_queue import TurnQueue

from tests.polling import until
from tests.portal.in_process import Portal, mounted, serve
from tests.portal.test_runs import RUNS, airflow_run
from tests.portal.unreliable_stores import HungStore

LONG = 60.0
REASONS = {"failure": "events: no table x", "failure_kind": "StatementError"}


class Airflow:
    """A stand-in for Airflow that counts calls; all of its runs have failed, each with two failed tasks."""

    def __init__(self, portal: Portal, count: int) -> None:
        self.runs = [
            airflow_run(number, state="failed", run_after=f"2026-01-01T{number // 60:02d}:{number % 60:02d}:00Z")
            for number in range(count, 0, -1)
        ]
        self.calls: Counter[str] = Counter()
        self.active = self.most = 0
        host = portal.host

        @host.get("/api/v2/dags/events/dagRuns")
        async def list_runs(limit: int, offset: int) -> dict[str, Any]:
            self.calls["runs"] += 1
            await self.hold()
            return {"dag_runs": self.runs[offset : offset + limit], "total_entries": len(self.runs)}

        @host.get("/api/v2/dags/events/dagRuns/~/taskInstances")
        def list_tasks(
            run_after_gte: str, run_after_lte: str, state: str, limit: int, offset: int, task_id: str = ""
        ) -> dict[str, Any]:
            self.calls["tasks"] += 1
            runs = [run for run in self.runs if run_after_gte <= run["run_after"] <= run_after_lte]
            tasks = [self.task(run["dag_run_id"], name) for run in runs for name in ("extract", "plan")]
            chosen = [task for task in tasks if state == "failed" and task_id in ("", task["task_id"])]
            return {"task_instances": chosen[offset : offset + limit], "total_entries": len(chosen)}

        @host.get("/api/v2/dags/events/dagRuns/{run_id}/taskInstances")
        def list_own_tasks(run_id: str) -> dict[str, Any]:
            self.calls["tasks of one run"] += 1
            return {"task_instances": [self.task(run_id, "plan")], "total_entries": 1}

        @host.get("/api/v2/dags/events/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}")
        async def show_value(run_id: str, task_id: str, key: str) -> dict[str, Any]:
            self.calls["values"] += 1
            self.active += 1
            self.most = max(self.most, self.active)
            await asyncio.sleep(0.001)
            self.active -= 1
            return {"value": REASONS[key]}

    async def hold(self) -> None:
        """Does nothing; tests replace it to block a run list."""

    def task(self, run_id: str, task_id: str) -> dict[str, Any]:
        return {"task_id": task_id, "dag_run_id": run_id, "state": "failed", "end_date": None, "map_index": -1}


@pytest.fixture
def portal(portal: Portal) -> Portal:
    """The portal with a list queue that does not time out."""
    use_queue(portal, slots=8, seconds=LONG, wait=LONG)
    return portal


def use_queue(portal: Portal, *, slots: int, seconds: float, wait: float) -> None:
    portal.use(run_lists=TurnQueue("list", slots=slots, threads=slots, seconds=seconds, wait=wait))


def listed(portal: Portal, user: str = "ann") -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = portal.get(RUNS, params={"limit": 100}, headers={"X-User": user}).json()
    return runs


async def request(portal: Portal, user: str) -> httpx.Response:
    return await portal._request("GET", RUNS, headers={"X-User": user})


def test_run_list_of_failed_runs_needs_few_airflow_calls(portal: Portal) -> None:
    airflow = Airflow(portal, 60)
    assert {run["error"] for run in listed(portal)} == {REASONS["failure"]}
    assert airflow.calls == {"runs": 1, "tasks": 4, "values": 120}
    assert 1 < airflow.most <= run_outcomes.MAX_CALLS
    airflow.calls.clear()
    assert len(listed(portal)) == 60
    assert airflow.calls == {"runs": 1}


def test_outcomes_are_cached_per_user_until_the_run_restarts(portal: Portal) -> None:
    airflow = Airflow(portal, 3)
    listed(portal)
    airflow.calls.clear()
    listed(portal, "bob")  # Airflow must authorize each user separately
    assert airflow.calls["values"] == 6
    airflow.calls.clear()
    airflow.runs[0].update(start_date="2026-02-01T00:00:00Z", end_date="2026-02-01T00:01:00Z")
    listed(portal)
    assert (airflow.calls["values"], airflow.calls["tasks of one run"]) == (2, 1)


def test_run_list_loads_tasks_that_the_bulk_query_missed(portal: Portal) -> None:
    airflow = Airflow(portal, 60)
    portal.use(outcomes=RunOutcomes(max_task_pages=1))
    assert [run["error"] for run in listed(portal)] == [REASONS["failure"]] * 60
    assert airflow.calls["tasks of one run"] == 10  # a page of results contains the two failed tasks of 50 runs


def test_run_lists_are_read_one_at_a_time_per_user(portal: Portal) -> None:
    airflow, released = Airflow(portal, 1), threading.Event()

    async def hold() -> None:
        if airflow.calls["runs"] == 1:
            await until(released.is_set)

    airflow.hold = hold  # type: ignore[method-assign]

    async def test() -> list[int]:
        tasks = [asyncio.create_task(request(portal, "ann"))]
        await until(lambda: airflow.calls["runs"] == 1)
        tasks += [asyncio.create_task(request(portal, "ann")) for _ in range(10)]
        try:
            async with asyncio.timeout(LONG / 4):
                assert (await request(portal, "bob")).status_code == 200
            assert airflow.calls["runs"] == 2
        finally:
            released.set()
        return [(await task).status_code for task in tasks]

    assert asyncio.run(test()) == [200] * 11


def test_run_list_past_its_deadline_returns_503(portal: Portal) -> None:
    airflow = Airflow(portal, 1)
    ended = threading.Event()

    async def hold() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            ended.set()

    airflow.hold = hold  # type: ignore[method-assign]
    use_queue(portal, slots=1, seconds=0.3, wait=0.3)
    refused = portal.get(RUNS)
    assert (refused.status_code, refused.json()["detail"]) == (503, "The list timed out. Try again.")
    assert "retry-after" in refused.headers
    assert ended.is_set()


def test_run_lists_with_a_hung_store_use_limited_threads(portal: Portal) -> None:
    Airflow(portal, 0)
    hung = HungStore()
    portal.use(open_store=lambda: hung)
    use_queue(portal, slots=2, seconds=0.3, wait=0.1)

    async def test() -> None:
        try:
            for user in ("ann", "ann", "bob", "bob", "carl", "dora"):
                assert (await request(portal, user)).status_code == 503
            assert len(hung.entered) == 2
        finally:
            hung.released.set()
        async with asyncio.timeout(LONG):
            while (await request(portal, "ann")).status_code != 200:
                await asyncio.sleep(0.01)

    asyncio.run(test())


def test_run_list_of_a_disconnected_client_is_cancelled(portal: Portal) -> None:
    airflow = Airflow(portal, 1)
    started, ended = threading.Event(), threading.Event()

    async def hold() -> None:
        started.set()
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            ended.set()
            raise

    airflow.hold = hold  # type: ignore[method-assign]

    async def leave(address: str) -> None:
        async with httpx.AsyncClient(timeout=LONG) as client:
            asking = asyncio.create_task(client.get(f"{address}/quire{RUNS}"))
            await until(started.is_set)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await until(ended.is_set)

    with serve(mounted(portal)) as address:
        asyncio.run(leave(address))
