"""Without a clone, the wheel supports change tracking, runs, the portal, the command line and garbage collection."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from python_calamine import CalamineWorkbook
from quire.dev_stack.airflow_runs import component_health, dag_ids
from quire.dev_stack.airflow_servers import AirflowServer
from quire.dev_stack.postgres_server import PostgresServer
from quire.dev_stack.s3_server import S3Server
from quire.object_store.s3_store import S3Store

from tests.events import ROWS, fill_events
from tests.packaging.own_airflow import OwnAirflow, install
from tests.packaging.wheels import build_wheel
from tests.postgres.tracking.tables import tracked_report

pytestmark = pytest.mark.slow

RANGE = {"start": "2013-01-01", "end": "2013-03-31"}
RUN_TIMEOUT = 240  # seconds


@pytest.fixture
def own_airflow(tmp_path: Path, fresh_database: str, s3_server: S3Server, bucket: S3Store) -> OwnAirflow:
    """A virtual environment with the wheel, and a report on a table of events."""
    fill_events(fresh_database)
    tracked_report(tmp_path / "reports")
    return OwnAirflow(
        environment=install(build_wheel(tmp_path / "dist"), tmp_path),
        home=tmp_path / "home",
        include=tmp_path / "reports",
        variables={
            "AIRFLOW_CONN_QUIRE_SOURCE": fresh_database,
            "AIRFLOW_CONN_QUIRE_STORE": s3_server.connection,
            "QUIRE_BUCKET": bucket.bucket,
        },
    )


@pytest.fixture
def server(own_airflow: OwnAirflow, postgres_server: PostgresServer) -> Iterator[AirflowServer]:
    """An installed Airflow that has not been started."""
    postgres_server.create_database("own_airflow", private=True)
    server = own_airflow.server(postgres_server.url("own_airflow"))
    try:
        yield server
    finally:
        server.stop()
        postgres_server.drop_database("own_airflow")


def wait_for_run(portal: httpx.Client, run_id: str) -> dict[str, Any]:
    """Waits for a run to end, and returns the run."""
    deadline = time.monotonic() + RUN_TIMEOUT
    while True:
        run: dict[str, Any] = portal.get(f"/api/reports/events/runs/{run_id}").raise_for_status().json()
        if run["state"] not in ("waiting", "running"):
            return run
        assert time.monotonic() < deadline, run
        time.sleep(0.5)


def count_rows(link: str) -> int:
    """Returns the number of rows in a workbook, without the header and the totals."""
    body = httpx.get(link, trust_env=False).raise_for_status().content
    return len(CalamineWorkbook.from_filelike(BytesIO(body)).get_sheet_by_name("Events").to_python()) - 2


def test_wheel_in_an_airflow_without_a_clone_runs_a_report(own_airflow: OwnAirflow, server: AirflowServer) -> None:
    tracked = own_airflow.quire("track", "events")
    assert tracked.returncode == 0, tracked.stderr

    server.start()
    with server.client() as client:
        assert {"events", "quire__housekeeping"} <= dag_ids(client)
        assert set(component_health(client).values()) == {"healthy"}
        assert client.get("/plugins/importErrors").raise_for_status().json()["total_entries"] == 0
        headers = client.headers
    with httpx.Client(base_url=f"{server.url}/quire", headers=headers, timeout=60, trust_env=False) as portal:
        assert "Events" in portal.get("/", headers={"Accept": "text/html"}).raise_for_status().text
        assert portal.get("/static/portal.css").raise_for_status().headers["content-type"].startswith("text/css")
        requested = portal.post("/api/reports/events/runs", json=RANGE)
        assert requested.status_code == 202, requested.text
        run = wait_for_run(portal, requested.json()["run_id"])
        assert run["state"] == "done", run
        page = portal.get(f"{server.url}{run['url']}", headers={"Accept": "text/html"}).raise_for_status().text
        files = [file for file in run["files"] if file["rows"]]
        assert [file["name"] for file in files if file["name"] not in page] == []
        links = [portal.get(f"{server.url}{file['url']}").headers["location"] for file in files]
    assert sum(map(count_rows, links)) == len(ROWS)

    repeated = own_airflow.quire("run", "events", "--start", RANGE["start"], "--end", RANGE["end"], "--json")
    assert repeated.returncode == 0, repeated.stderr
    assert json.loads(repeated.stdout)["reused"] is True
    collected = own_airflow.quire("gc")
    assert collected.returncode == 0, collected.stderr
    assert own_airflow.quire("verify", json.loads(repeated.stdout)["run"]).returncode == 0
