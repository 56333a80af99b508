"""Runs that cannot be read or shown: a report's list and page survive each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException
from quire.object_store import ObjectStore
from quire.portal import command_line_runs, outcomes
from quire.portal.unreadable_runs import UNREADABLE

from tests.events import events_report
from tests.portal.in_process import Portal, open_portal
from tests.portal.test_runs import RUNS, airflow_run

XCOM = "/api/v2/dags/events/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"


@pytest.fixture(params=["UTC", "Asia/Tokyo"])
def portal(
    request: pytest.FixtureRequest, tmp_path: Path, bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> Portal:
    command_line_runs._LISTINGS.clear()
    outcomes._FINAL.clear()
    events_report(tmp_path, timezone=request.param)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal(monkeypatch, lambda: bucket)


def serve_runs(portal: Portal, runs: list[dict[str, Any]]) -> None:
    """Lets Airflow have these runs, without any tasks."""

    @portal.host.get("/api/v2/dags/events/dagRuns")
    def list_runs(limit: int, offset: int) -> dict[str, Any]:
        return {"dag_runs": runs[offset : offset + limit], "total_entries": len(runs)}

    @portal.host.get("/api/v2/dags/events/dagRuns/{run_id}")
    def show_run(run_id: str) -> dict[str, Any]:
        return next(run for run in runs if run["dag_run_id"] == run_id)

    @portal.host.get("/api/v2/dags/events/dagRuns/{run_id}/taskInstances")
    def list_tasks(run_id: str) -> dict[str, Any]:
        return {"task_instances": [], "total_entries": 0}


@pytest.mark.parametrize("run_after", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_run_with_an_extreme_run_after_is_listed(portal: Portal, run_after: str) -> None:
    serve_runs(portal, [airflow_run(2, run_after=run_after), airflow_run(1)])
    answer = portal.get(RUNS)
    assert (answer.status_code, {run["run_id"] for run in answer.json()}) == (200, {"ask__1", "ask__2"})
    assert portal.get("/reports/events").status_code == 200
    assert portal.get("/reports/events/runs/ask__2").status_code == 200


def test_list_survives_a_run_whose_view_fails(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    serve_runs(portal, [airflow_run(2, conf=5), airflow_run(1)])
    broken, sound = portal.get(RUNS).json()
    assert (broken["run_id"], broken["state"], broken["error"]) == ("ask__2", "waiting", UNREADABLE)
    assert (sound["run_id"], sound["error"]) == ("ask__1", None)
    assert "events: run ask__2 cannot be shown" in caplog.text
    assert "Traceback" in caplog.text
    assert UNREADABLE in portal.get("/reports/events").text


def test_list_survives_a_run_whose_xcoms_airflow_cannot_read(portal: Portal, caplog: pytest.LogCaptureFixture) -> None:
    @portal.host.get(XCOM)
    def show_value(run_id: str, task_id: str, key: str) -> dict[str, Any]:
        if run_id == "ask__2":
            raise HTTPException(500)
        raise HTTPException(404)

    serve_runs(portal, [airflow_run(2, state="success"), airflow_run(1, state="success")])
    broken, sound = portal.get(RUNS).json()
    assert (broken["run_id"], broken["error"]) == ("ask__2", UNREADABLE)
    assert (sound["run_id"], sound["error"]) == ("ask__1", "Airflow no longer knows what came of it.")
    assert "events: the outcome of run ask__2 cannot be read" in caplog.text


def test_list_of_a_caller_who_may_not_read_xcoms_is_refused(portal: Portal) -> None:
    @portal.host.get(XCOM)
    def show_value(run_id: str, task_id: str, key: str) -> dict[str, Any]:
        raise HTTPException(403)

    serve_runs(portal, [airflow_run(1, state="success")])
    assert portal.get(RUNS).status_code == 403
