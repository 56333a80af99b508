"""If a run cannot be loaded or displayed, the list and the page still show every other run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request
from quire.airflow_api.client import AirflowApi, NotFoundError
from quire.airflow_api.transports import InProcessTransport
from quire.object_store import Store
from quire.object_store.memory_store import MemoryStore
from quire.portal.manifest_cache import ManifestCache
from quire.portal.unreadable_runs import UNREADABLE
from quire.record_types.manifest import Manifest

from tests.events import events_report
from tests.portal.in_process import Portal, open_portal
from tests.portal.published_runs import publish_run, result_value
from tests.portal.test_runs import RUNS, airflow_run

XCOM = "/api/v2/dags/events/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"


@pytest.fixture
def portal(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    events_report(tmp_path, timezone="Asia/Tokyo")
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal(lambda: store)


def serve_runs(portal: Portal, served: list[dict[str, Any]], *, tasks: Sequence[dict[str, Any]] = ()) -> list[str]:
    """Serves runs like Airflow, all with the same tasks. Returns the IDs of the runs whose tasks are requested."""
    ids: list[str] = []

    @portal.host.get("/api/v2/dags/events/dagRuns")
    def list_runs(limit: int, offset: int) -> dict[str, Any]:
        return {"dag_runs": served[offset : offset + limit], "total_entries": len(served)}

    @portal.host.get("/api/v2/dags/events/dagRuns/{run_id}")
    def show_run(run_id: str) -> dict[str, Any]:
        return next(run for run in served if run["dag_run_id"] == run_id)

    @portal.host.get("/api/v2/dags/events/dagRuns/{run_id}/taskInstances")
    def list_tasks(run_id: str) -> dict[str, Any]:
        ids.append(run_id)
        return {"task_instances": list(tasks), "total_entries": len(tasks)}

    return ids


@pytest.mark.parametrize("run_after", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_run_list_with_an_extreme_run_after_is_shown(portal: Portal, run_after: str) -> None:
    serve_runs(portal, [airflow_run(2, run_after=run_after), airflow_run(1)])
    response = portal.get(RUNS)
    assert (response.status_code, {run["run_id"] for run in response.json()}) == (200, {"ask__1", "ask__2"})
    assert portal.get("/reports/events").status_code == 200
    assert portal.get("/reports/events/runs/ask__2").status_code == 200


def test_run_list_with_a_failing_view_shows_other_runs(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    serve_runs(portal, [airflow_run(2, conf=5), airflow_run(1)])
    broken, sound = portal.get(RUNS).json()
    assert (broken["run_id"], broken["state"], broken["error"]) == ("ask__2", "waiting", UNREADABLE)
    assert (sound["run_id"], sound["error"]) == ("ask__1", None)
    assert "events: run ask__2 cannot be displayed" in caplog.text
    assert "Traceback" in caplog.text
    assert UNREADABLE in portal.get("/reports/events").text


def test_run_whose_view_fails_shows_a_message(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    serve_runs(portal, [airflow_run(1, conf=5, state="queued")])
    response = portal.get(f"{RUNS}/ask__1")
    assert (response.status_code, response.json()["state"], response.json()["error"]) == (200, "waiting", UNREADABLE)
    page = portal.get("/reports/events/runs/ask__1")
    assert (page.status_code, UNREADABLE in page.text) == (200, True)
    assert caplog.text.count("events: run ask__1 cannot be displayed") == 2
    assert "Traceback" in caplog.text


class BrokenManifests(ManifestCache):
    """Manifests that cannot be read because of a bug."""

    def read(self, store: Store, report: str, run_key: str) -> Manifest:
        """Raises an error."""
        raise ZeroDivisionError


def test_command_line_run_whose_view_fails_shows_a_message(
    portal: Portal, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = publish_run(store).run_id
    portal.use(manifests=BrokenManifests())
    response = portal.get(f"{RUNS}/{run_id}")
    assert (response.status_code, response.json()["state"], response.json()["error"]) == (200, "done", UNREADABLE)
    assert f"events: run {run_id} cannot be displayed" in caplog.text


@pytest.mark.parametrize(("status", "answered"), [(403, 403), (404, 404), (500, 503)])
def test_run_that_airflow_refuses_returns_its_status(portal: Portal, status: int, answered: int) -> None:
    @portal.host.get("/api/v2/dags/events/dagRuns/{run_id}")
    def refuse(run_id: str) -> None:
        raise HTTPException(status)

    assert portal.get(f"{RUNS}/ask__1").status_code == answered


def test_run_list_with_unreadable_xcoms_shows_other_runs(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    @portal.host.get(XCOM)
    def show_value(run_id: str, task_id: str, key: str) -> dict[str, Any]:
        if run_id == "ask__2":
            raise HTTPException(500)
        raise HTTPException(404)

    serve_runs(portal, [airflow_run(2, state="success"), airflow_run(1, state="success")])
    broken, sound = portal.get(RUNS).json()
    assert (broken["run_id"], broken["error"]) == ("ask__2", UNREADABLE)
    assert (sound["run_id"], sound["error"]) == ("ask__1", "Airflow has no result for this run.")
    assert "events: the outcome of run ask__2 cannot be loaded" in caplog.text


def test_run_list_without_access_to_xcoms_is_forbidden(portal: Portal) -> None:
    @portal.host.get(XCOM)
    def show_value(run_id: str, task_id: str, key: str) -> dict[str, Any]:
        raise HTTPException(403)

    serve_runs(portal, [airflow_run(1, state="success")])
    assert portal.get(RUNS).status_code == 403


CALLS: dict[str, Callable[[AirflowApi, str], Coroutine[Any, Any, Any]]] = {
    "run": lambda api, run_id: api.run("events", run_id),
    "fail": lambda api, run_id: api.fail("events", run_id, note="x"),
    "tasks": lambda api, run_id: api.task_instances("events", run_id),
    "task state": lambda api, run_id: api.task_state("events", run_id, "plan"),
    "XCom": lambda api, run_id: api.xcom("events", run_id, "plan", key="cached"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("run_id", [".", "..", "~", "a\u202eb"])
def test_reserved_run_ids_never_reach_airflow(
    run_id: str, call: Callable[[AirflowApi, str], Coroutine[Any, Any, Any]]
) -> None:
    host, paths = FastAPI(), list[str]()

    @host.api_route("/{path:path}", methods=["GET", "PATCH"])
    def response(request: Request, path: str) -> dict[str, Any]:
        paths.append(path)
        return {"task_instances": [], "total_entries": 0, "state": "success", "value": 1}

    with pytest.raises(NotFoundError):
        asyncio.run(call(AirflowApi(InProcessTransport(host, "token")), run_id))
    assert paths == []


def test_run_list_omits_a_run_with_a_reserved_id(portal: Portal) -> None:
    everything, one = airflow_run(2, dag_run_id="~", state="failed"), airflow_run(1, state="failed")
    waiting = airflow_run(3, dag_run_id="..")
    ids = serve_runs(portal, [waiting, everything, one])
    assert [run["run_id"] for run in portal.get(RUNS).json()] == ["ask__1"]
    assert ids == ["ask__1"]


def test_run_state_ignores_tasks_of_other_runs(portal: Portal) -> None:
    task = {"dag_run_id": "ask__2", "task_id": "publish", "state": "success", "end_date": None, "map_index": -1}
    serve_runs(portal, [airflow_run(1, state="running")], tasks=[task])
    (run,) = portal.get(RUNS).json()
    assert run["state"] == "running"


def test_run_with_endless_tasks_reads_few_pages(portal: Portal) -> None:
    offsets: list[int] = []
    portal.max_pages = 3

    @portal.host.get("/api/v2/dags/events/dagRuns/ask__1/taskInstances")
    def list_tasks(offset: int) -> dict[str, Any]:
        offsets.append(offset)
        task = {"dag_run_id": "ask__1", "task_id": "extract", "state": None, "end_date": None, "map_index": offset}
        return {"task_instances": [task], "total_entries": 10}

    serve_runs(portal, [airflow_run(1, state="running")])
    (run,) = portal.get(RUNS).json()
    assert (run["error"], offsets) == (UNREADABLE, [0, 1, 2])


@pytest.mark.parametrize(
    ("plan_state", "pushed"),
    [
        *(("success", pushed) for pushed in (5, "x", [5], [[1], None], [{"record": "[1]"}, {"record": 5}])),
        *(("running", pushed) for pushed in (5, [5], {"record": 5})),
    ],
)
def test_progress_with_edited_xcoms_is_unknown(portal: Portal, plan_state: str, pushed: Any) -> None:
    @portal.host.get(XCOM)
    def show_value(run_id: str, task_id: str, key: str) -> dict[str, Any]:
        return {"value": pushed}

    tasks = [
        {"task_id": name, "map_index": -1, "state": state, "dag_run_id": "ask__1", "end_date": None}
        for name, state in (("plan", plan_state), ("layout", "success"), ("publish", None))
    ]
    serve_runs(portal, [airflow_run(1, state="running")], tasks=tasks)
    (run,) = portal.get(RUNS).json()
    assert (run["error"], run["progress"]["partitions"], run["progress"]["files"]) == (None, None, None)
    assert portal.get("/reports/events").status_code == 200
    assert portal.get("/reports/events/runs/ask__1").status_code == 200


def test_run_page_with_a_time_without_offset_is_shown(portal: Portal) -> None:
    @portal.host.get(XCOM)
    def show_value(run_id: str, task_id: str, key: str) -> dict[str, Any]:
        return {"value": result_value(published_at="2026-01-01T00:00:00")}

    times = {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-01-01T00:01:00Z"}
    serve_runs(portal, [airflow_run(1, state="success", **times)])
    page = portal.get("/reports/events/runs/ask__1")
    assert (page.status_code, "Airflow has no result for this run." in page.text) == (200, True)
