"""With a running scheduler, runs are started through the REST API."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psycopg
from quire.dev_stack.airflow_runs import run_state, start_run, task_states
from quire.dev_stack.stack import SOURCE_DATABASE, LocalStack
from quire.runs.manifest_store import read_manifest
from quire.runs.verify import verify_run

from tests.airflow.run_results import published_value
from tests.workbooks import open_workbook, sheet_rows

SECONDS = 240


def wait(client: httpx.Client, dag_id: str, run_id: str) -> str:
    deadline = time.monotonic() + SECONDS
    while (state := run_state(client, dag_id, run_id)) not in ("success", "failed"):
        assert time.monotonic() < deadline, task_states(client, dag_id, run_id)
        time.sleep(0.2)
    return state


def wait_for_task(client: httpx.Client, dag_id: str, run_id: str, task_id: str, states: set[str]) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS
    while True:
        task: dict[str, Any] = (
            client.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}").raise_for_status().json()
        )
        if task["state"] in states:
            return task
        assert time.monotonic() < deadline, task
        time.sleep(0.2)


def task_log(stack: LocalStack, dag_id: str, run_id: str, task_id: str) -> str:
    folder = stack.airflow.folder / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
    return "\n".join(path.read_text() for path in sorted(folder.rglob("*.log")))


def test_months_of_flights_are_published_by_mapped_tasks(running_stack: LocalStack, client: httpx.Client) -> None:
    # forced, because other tests may already have stored some of these months
    run_id = start_run(client, "flights", {"start": "2013-05-01", "end": "2013-08-31", "force": True, "fan_out": True})
    assert wait(client, "flights", run_id) == "success"
    states = task_states(client, "flights", run_id)
    assert sorted(index for task, index, _ in states if task == "extract") == list(range(4))
    assert sorted(index for task, index, _ in states if task == "render") == list(range(4))
    with psycopg.connect(running_stack.postgres.url(SOURCE_DATABASE)) as connection:
        counts: dict[int, int] = dict(connection.execute("SELECT month, count(*) FROM flights GROUP BY 1").fetchall())
    total = sum(counts[month] for month in range(5, 9))
    published = published_value(client, "flights", run_id)
    assert (published["report"], published["rows"], published["reused"]) == ("flights", total, False)
    assert [file["name"] for file in published["files"]] == [
        *(f"flights_2013-{month:02d}.xlsx" for month in range(5, 9)),
        "flights_2013-05-01_2013-08-31_summary.xlsx",
    ]
    store = running_stack.s3.store()
    assert verify_run(published["run"], store=store).problems == ()
    usage = read_manifest(store, "flights", published["run"]).usage
    assert Counter(task.stage for task in usage) == {
        "plan": 1, "extract": 4, "aggregate": 1, "layout": 1, "render": 4, "publish": 1,
    }  # fmt: skip
    assert {sum(task.rows for task in usage if task.stage == stage) for stage in ("extract", "render")} == {total}
    assert all(task.peak_rss_bytes > 30e6 and task.seconds > 0 for task in usage)
    assert all(task.statements for task in usage if task.stage in ("plan", "extract"))
    assert published["files"][2]["rows"] == counts[7]
    rows = sheet_rows(open_workbook(store, published["files"][2]["key"]), "Flights from New York")
    assert len(rows) == 1 + counts[7] + 1  # the header, the rows and the totals
    link = store.presign(published["files"][2]["key"], seconds=60, filename="july.xlsx")
    assert len(httpx.get(link).content) == published["files"][2]["bytes"]


def test_published_run_creates_an_event_of_the_report_asset(running_stack: LocalStack, client: httpx.Client) -> None:
    run_id = start_run(client, "flights", {"start": "2013-05-01", "end": "2013-05-31", "carrier": "HA"})
    assert wait(client, "flights", run_id) == "success"
    events = client.get("/assets/events", params={"source_dag_id": "flights"}).raise_for_status().json()
    (event,) = [
        event
        for event in events["asset_events"]
        if (event["source_run_id"], event["uri"]) == (run_id, "quire://reports/flights")
    ]
    assert event["extra"]["rows"] == 31
    assert event["source_task_id"] == "plan"
    assert event["extra"]["run"] == published_value(client, "flights", run_id)["run"]


def test_empty_date_range_publishes_an_empty_report(client: httpx.Client) -> None:
    run_id = start_run(client, "flights", {"start": "2012-02-01", "end": "2012-02-29"})
    assert wait(client, "flights", run_id) == "success"
    assert [file["rows"] for file in published_value(client, "flights", run_id)["files"]] == [0, 0]


def test_unknown_parameter_fails_without_retries_and_logs_its_reason(
    running_stack: LocalStack, client: httpx.Client
) -> None:
    run_id = start_run(client, "flights", {"start": "2013-01-01", "end": "2013-01-31", "carier": "AA"})
    task = wait_for_task(client, "flights", run_id, "plan", {"failed", "up_for_retry", "success"})
    assert (task["state"], task["try_number"]) == ("failed", 1)
    assert "unknown parameter 'carier'; did you mean carrier?" in task_log(running_stack, "flights", run_id, "plan")
    assert wait(client, "flights", run_id) == "failed"


def test_unavailable_database_is_retried_without_logging_its_password(
    running_stack: LocalStack, client: httpx.Client
) -> None:
    run_id = start_run(client, "unreachable", {"start": "2013-01-01", "end": "2013-01-31"})
    wait_for_task(client, "unreachable", run_id, "plan", {"up_for_retry"})
    log = task_log(running_stack, "unreachable", run_id, "plan")
    assert "127.0.0.1:9 is not available" in log
    assert "s3cr3t" not in log
    client.patch(f"/dags/unreachable/dagRuns/{run_id}", json={"state": "failed"}).raise_for_status()


def test_invalid_definition_breaks_only_its_own_dag(running_stack: LocalStack, client: httpx.Client) -> None:
    dags = {dag["dag_id"]: dag for dag in client.get("/dags").raise_for_status().json()["dags"]}
    assert set(dags) >= {"flights", "unreachable", "torn"}
    assert client.get("/importErrors").raise_for_status().json()["total_entries"] == 0
    run_id = start_run(client, "torn", {})
    assert wait(client, "torn", run_id) == "failed"
    log = task_log(running_stack, "torn", run_id, "definition")
    assert "torn.yaml:2: partition: is 'mnth': use one of day, week, month, quarter, year; did you mean month?" in log


def test_backfill_covers_the_window_before_each_date(running_stack: LocalStack, client: httpx.Client) -> None:
    command = ["backfill", "create", "--dag-id", "flights", "--from-date", "2013-02-01", "--to-date", "2013-02-02"]
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *command],
        env={**os.environ, **running_stack.airflow.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    runs = client.get("/dags/flights/dagRuns", params={"run_type": "backfill"}).raise_for_status().json()["dag_runs"]
    (run,) = [run for run in runs if run["run_type"] == "backfill"]
    assert wait(client, "flights", run["dag_run_id"]) == "success"
    published = published_value(client, "flights", run["dag_run_id"])
    assert [file["name"] for file in published["files"]] == ["flights_2013-01.xlsx", "flights_2013-01_summary.xlsx"]
    assert published["rows"] == 27_004


def test_dag_test_runs_the_report_in_one_process(running_stack: LocalStack, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import reports;"
        "run = reports.flights.test(run_conf={'start': '2013-03-10', 'end': '2013-03-10'});"
        "print('ended', run.state)"
    )
    # a separate metadata database, because the running scheduler would otherwise execute the run too
    metadata = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'metadata.db'}"}
    environment = {**os.environ, **running_stack.airflow.environment(), **metadata}
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", code, environment["AIRFLOW__CORE__DAGS_FOLDER"]],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ended success" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    store = running_stack.s3.store()
    names = [entry.key.rpartition("/")[2] for entry in store.list("workbooks/flights/")]
    assert "flights_2013-03-10.xlsx" in names
