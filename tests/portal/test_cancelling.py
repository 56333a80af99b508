"""When a user cancels a run in the portal, Airflow ends the run's tasks, and the lease is released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException, Request
from quire.errors import SettingsError
from quire.object_store.memory_store import MemoryStore
from quire.runs.leases import Lease, lease_key

from tests.events import events_report, request_of
from tests.portal.in_process import Portal, open_portal
from tests.portal.test_runs import RUNS, airflow_run


def serve_run(portal: Portal, state: str) -> dict[str, Any]:
    """Serves an Airflow run that the portal is allowed to change, and returns the run."""
    run = airflow_run(1, state=state)
    portal.rights.add(("PUT", "RUN"))

    @portal.host.get("/api/v2/dags/events/dagRuns/ask__1")
    def show_run() -> dict[str, Any]:
        return run

    @portal.host.patch("/api/v2/dags/events/dagRuns/ask__1")
    async def change_run(request: Request) -> dict[str, Any]:
        run.update(await request.json())
        return run

    @portal.host.get("/api/v2/dags/events/dagRuns/ask__1/taskInstances")
    def list_tasks() -> dict[str, Any]:
        return {"task_instances": [], "total_entries": 0}

    return run


@pytest.mark.parametrize(
    ("page", "state", "held"), [(False, "running", 1), (True, "running", 1), (False, "success", 2)]
)
def test_cancel_releases_the_lease_of_an_active_run_only(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, page: bool, state: str, held: int
) -> None:
    definition = events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    portal = open_portal(lambda: store)
    serve_run(portal, state)
    for run_id in ("events:ask__1", "events:ask__2"):
        Lease(request_of(definition, run_id=run_id), store=store)
    path = "/reports/events/runs/ask__1" if page else f"{RUNS}/ask__1"
    assert portal.post(f"{path}/cancel", follow_redirects=False).status_code == (303 if page else 202)
    leases = {entry.key for entry in store.list("leases/")}
    assert len(leases) == held
    assert lease_key("events", "events:ask__2") in leases


@pytest.mark.parametrize(("failures", "status"), [(2, 303), (3, 503)])
def test_cancel_is_repeated_when_airflow_loses_a_deadlock(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, failures: int, status: int
) -> None:
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    portal = open_portal(lambda: store)
    left = [HTTPException(500, "deadlock detected")] * failures

    @portal.host.patch("/api/v2/dags/events/dagRuns/ask__1")
    def lose_deadlock() -> dict[str, Any]:
        if left:
            raise left.pop()
        return airflow_run(1, state="failed")

    serve_run(portal, "running")
    response = portal.post("/reports/events/runs/ask__1/cancel", follow_redirects=False)
    assert (response.status_code, left) == (status, [])


def test_cancel_without_a_configured_store_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_store() -> MemoryStore:
        raise SettingsError("there is no quire_store connection")

    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    portal = open_portal(no_store)
    run = serve_run(portal, "running")
    response = portal.post("/reports/events/runs/ask__1/cancel", follow_redirects=False)
    assert (response.status_code, run["state"]) == (303, "failed")
    assert "run ask__1's lease could not be released and will expire: there is no quire_store connection" in caplog.text
