"""Report requests have limits (quota, formats and rows); their estimates do not interfere with the form's."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI, HTTPException, Query, Request
from quire.object_store.memory_store import MemoryStore
from quire.object_store.s3_store import S3Store
from quire.portal.job_deadline import Deadline
from quire.portal.views import EstimateView
from quire.portal.work_queue import WorkQueue

from tests.events import events_report, fill_many_events, session_of
from tests.portal.in_process import Portal, open_portal
from tests.portal.published_runs import result_value

DAYS = {"start": "2013-01-01", "end": "2013-01-31"}
RUNS = "/api/reports/events/runs"
ESTIMATE = "/api/reports/events/estimate"


class Airflow:
    """A stand-in for Airflow, with runs that a test adds and runs that the portal starts."""

    def __init__(self, portal: Portal) -> None:
        self.runs: list[dict[str, Any]] = []
        self.published: dict[str, str] = {}  # run keys by run ID
        self.may_list_all = self.may_read_xcoms = True
        host = portal.host
        self._serve_results(host)

        @host.get("/api/v2/dags/{dag_id}")
        def show_dag(dag_id: str) -> dict[str, Any]:
            return {"is_paused": False}

        @host.get("/api/v2/dags/{dag_id}/dagRuns")
        def list_runs(
            dag_id: str,
            run_id_prefix_pattern: str = "",
            triggering_user_name_prefix_pattern: str = "",
            state: list[str] = Query(default=["queued", "running", "success", "failed"]),  # noqa: B008
            limit: int = 100,
            offset: int = 0,
        ) -> dict[str, Any]:
            if dag_id == "~" and not self.may_list_all:
                raise HTTPException(403, "Forbidden")
            chosen = [
                run
                for run in self.runs
                if run["dag_run_id"].startswith(run_id_prefix_pattern)
                and run["triggering_user_name"].startswith(triggering_user_name_prefix_pattern)
                and run["state"] in state
                and dag_id in ("~", run["dag_id"])
            ]
            return {"dag_runs": chosen[offset:][: min(limit, 100)], "total_entries": len(chosen)}

        @host.get("/api/v2/dags/{dag_id}/dagRuns/{run_id}")
        def show_run(dag_id: str, run_id: str) -> dict[str, Any]:
            for run in self.runs:
                if (run["dag_id"], run["dag_run_id"]) == (dag_id, run_id):
                    return run
            raise HTTPException(404, "not found")

        @host.get("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")
        def show_task(dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
            return {"task_id": task_id, "map_index": -1, "state": None, "end_date": None}

        @host.post("/api/v2/dags/{dag_id}/dagRuns")
        async def trigger(dag_id: str, request: Request) -> dict[str, Any]:
            body = await request.json()
            run_id = body["dag_run_id"]
            if any(run["dag_run_id"] == run_id for run in self.runs):
                raise HTTPException(409, "it exists")
            self.add(run_id, portal.user, dag_id=dag_id, conf=body["conf"])
            return {}

    def _serve_results(self, host: FastAPI) -> None:
        @host.get("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}")
        def show_value(dag_id: str, run_id: str, task_id: str, key: str) -> dict[str, Any]:
            if not self.may_read_xcoms:
                raise HTTPException(403, "Forbidden")
            is_published = (task_id, key) == ("plan", "return_value") and run_id in self.published
            return {"value": result_value(self.published[run_id]) if is_published else None}

        @host.get("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        def list_tasks(dag_id: str, run_id: str) -> dict[str, Any]:
            return {"task_instances": [], "total_entries": 0}

    def add(self, run_id: str, user: str, *, state: str = "queued", dag_id: str = "other", conf: Any = None) -> None:
        """Adds a run."""
        run = {"dag_run_id": run_id, "triggering_user_name": user, "state": state, "dag_id": dag_id, "conf": conf}
        times = {"run_after": "2026-01-01T00:00:00Z", "queued_at": None, "start_date": None, "end_date": None}
        self.runs.append({**run, **times, "note": None, "run_type": "manual"})


@pytest.fixture
def portal(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    events_report(tmp_path, workbook={"reader_formats": ["xlsx", "parquet"]})
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    monkeypatch.setenv("QUIRE_MAX_ACTIVE_RUNS", "3")
    return open_portal(lambda: store)


@pytest.fixture
def airflow(portal: Portal) -> Iterator[Airflow]:
    yield Airflow(portal)
    portal.host.router.routes.clear()


def test_request_over_the_quota_of_active_runs_returns_429(portal: Portal, airflow: Airflow) -> None:
    airflow.add("ask__a__1", "reader")
    airflow.add("ask__b__1", "reader")
    airflow.add("ask__c__1", "reader", state="success")  # already finished
    airflow.add("ask__d__1", "readers")  # belongs to another user
    airflow.add("scheduled__1", "reader")
    assert portal.post(RUNS, json=DAYS).status_code == 202
    refused = portal.post(RUNS, json={**DAYS, "end": "2013-01-30"})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert refused.json()["detail"] == (
        "You have 3 active runs; the limit is 3. Wait for a run to finish, or cancel one."
    )
    # an identical request shares the active run
    again = portal.post(RUNS, json=DAYS)
    assert (again.status_code, again.json()["started"]) == (202, False)
    page = portal.post("/reports/events", data={**DAYS, "end": "2013-01-29", "formats": "xlsx"})
    assert (page.status_code, "You have 3 active runs" in page.text) == (429, True)


@pytest.mark.parametrize(
    "change", [{"end": "2013-12-31"}, {"force": True}, {"force": 1}, {"formats": ["parquet"]}, {"fan_out": True}, None]
)
def test_request_ignores_a_run_with_its_id_but_another_conf(
    portal: Portal, airflow: Airflow, change: dict[str, Any] | None
) -> None:
    first = portal.post(RUNS, json=DAYS).json()["run_id"]
    (run,) = airflow.runs
    run["conf"] = None if change is None else {**run["conf"], **change}
    second = portal.post(RUNS, json=DAYS)
    assert (second.json()["run_id"], second.json()["started"]) == (first.removesuffix("1") + "2", True)
    again = portal.post(RUNS, json=DAYS)
    assert (again.json()["run_id"], again.json()["started"]) == (second.json()["run_id"], False)


@pytest.mark.parametrize("number", ["2", "999999999", "9" * 150])
def test_request_skips_ids_that_other_runs_have_taken(portal: Portal, airflow: Airflow, number: str) -> None:
    prefix = portal.post(RUNS, json=DAYS).json()["run_id"].removesuffix("1")
    airflow.runs[0]["state"] = "success"
    airflow.add(f"{prefix}{number}", "editor", dag_id="events", conf={**airflow.runs[0]["conf"], "end": "2014-01-01"})
    response = portal.post(RUNS, json=DAYS).json()
    assert (response["run_id"], response["started"]) == (f"{prefix}{'3' if number == '2' else '2'}", True)


def test_quota_without_access_to_all_runs_counts_those_of_the_report(portal: Portal, airflow: Airflow) -> None:
    airflow.may_list_all = False
    for number in range(3):
        airflow.add(f"ask__{number}__1", "reader", dag_id="events")
    assert portal.post(RUNS, json=DAYS).status_code == 429


def test_quota_counts_runs_on_all_pages_of_similar_user_names(portal: Portal, airflow: Airflow) -> None:
    for number in range(150):
        airflow.add(f"ask__{number}__1", "readers")
    for number in range(3):
        airflow.add(f"ask__own{number}__1", "reader")
    assert portal.post(RUNS, json=DAYS).status_code == 429


def test_concurrent_requests_do_not_exceed_the_quota(portal: Portal, airflow: Airflow) -> None:
    async def test() -> list[int]:
        bodies = [{**DAYS, "end": f"2013-01-{day}"} for day in range(11, 31)]
        answers = await asyncio.gather(*(portal._request("POST", RUNS, json=body) for body in bodies))
        return [response.status_code for response in answers]

    statuses = asyncio.run(test())
    assert (statuses.count(202), statuses.count(429), len(airflow.runs)) == (3, 17, 3)


def test_request_without_formats_returns_422(portal: Portal, airflow: Airflow) -> None:
    response = portal.post(RUNS, json={**DAYS, "formats": []})
    assert (response.status_code, response.json()["detail"]) == (422, "Choose at least one format: xlsx, parquet.")
    page = portal.post("/reports/events", data=DAYS)
    assert (page.status_code, "Choose at least one format" in page.text) == (422, True)
    assert portal.post(RUNS, json=DAYS).status_code == 202  # the default formats


def test_request_for_an_unavailable_format_returns_422(portal: Portal, airflow: Airflow) -> None:
    response = portal.post(RUNS, json={**DAYS, "formats": ["csv"]})
    assert (response.status_code, response.json()["detail"]) == (
        422,
        "This report is not available as csv. Choose xlsx or parquet.",
    )
    assert 'value="csv"' not in portal.get("/reports/events").text


def test_request_over_the_row_limit_returns_422(
    portal: Portal, airflow: Airflow, tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_many_events(fresh_database, 20_000, minutes=60)
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("ANALYZE events")
    portal.use(open_session=lambda _: session_of(fresh_database), open_store=lambda: bucket)
    events_report(tmp_path, limits={"rows": 2_000, "days": 365})
    assert portal.post(RUNS, json=DAYS).status_code == 202  # 744 rows
    refused = portal.post(RUNS, json={**DAYS, "end": "2013-12-31"})
    assert refused.status_code == 422
    message = r"This range has about [0-9,]+ rows; the limit is 2,000\. Choose fewer days\."
    assert re.fullmatch(message, refused.json()["detail"])
    longer = portal.post(RUNS, json={**DAYS, "end": "2014-12-31"})
    assert longer.json()["detail"] == "The date range has 730 days; this report allows at most 365"
    assert portal.get("/api/reports/events").json()["limits"] == {"days": 365, "rows": 2_000}
    assert "Up to 365 days and 2,000 rows per report." in portal.get("/reports/events").text


class HeldEstimates(WorkQueue):
    """A queue whose estimates all return one row; the first estimate blocks until a test releases or cancels it."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.released = threading.Event(), threading.Event()

    async def run(self, user: str, work: Callable[[Deadline], Any], *, supersedes: bool = True) -> Any:
        """Returns the estimate instead of ``work``'s result."""
        return await super().run(user, self._estimate, supersedes=supersedes)

    def _estimate(self, deadline: Deadline) -> EstimateView:
        if not self.started.is_set():
            self.started.set()
            while not self.released.wait(0.01):
                deadline.ensure_time_left()
        return EstimateView(rows=1, bytes=1, partitions=1, stored=0, is_exact=False)


def test_form_estimate_does_not_supersede_a_request_estimate(portal: Portal, airflow: Airflow, tmp_path: Path) -> None:
    events_report(tmp_path, limits={"rows": 2_000})
    held = HeldEstimates()
    portal.use(estimates=held)

    async def test() -> tuple[int, int]:
        request = asyncio.create_task(portal._request("POST", RUNS, json=DAYS))
        await asyncio.to_thread(held.started.wait, 60)
        form = await portal._request("POST", ESTIMATE, json=DAYS)
        held.released.set()
        return (await request).status_code, form.status_code

    assert asyncio.run(test()) == (202, 200)


def test_superseded_estimate_returns_a_short_retry_after(portal: Portal, airflow: Airflow) -> None:
    held = HeldEstimates()
    portal.use(estimates=held)

    async def test() -> tuple[httpx.Response, httpx.Response]:
        earlier = asyncio.create_task(portal._request("POST", ESTIMATE, json=DAYS))
        await asyncio.to_thread(held.started.wait, 60)
        newer = await portal._request("POST", ESTIMATE, json=DAYS)
        return await earlier, newer

    earlier, newer = asyncio.run(test())
    assert (earlier.status_code, newer.status_code) == (429, 200)
    assert 1 <= int(earlier.headers["retry-after"]) <= 5
