"""Run lists contain command-line runs among Airflow's runs, and truncate long values."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from quire.object_store.memory_store import MemoryStore
from quire.pipeline import run_report
from quire.portal.command_line_runs import CommandLineRun, merge_page
from quire.report.definition import ReportDefinition

from tests.events import SQL, events_report, fill_events, request_of, session_of
from tests.portal.in_process import Portal, open_portal

RUNS = "/api/reports/events/runs"
LONG = "x" * 900


@pytest.fixture
def definition(tmp_path: Path) -> ReportDefinition:
    return events_report(
        tmp_path,
        sql=SQL.replace("ORDER", "AND (%(kind)s IS NULL OR kind = %(kind)s)\nORDER"),
        parameters={"kind": {"type": "string", "default": None}},
        owner={"name": "Finance data", "email": "finance@example.org"},
    )


@pytest.fixture
def portal(definition: ReportDefinition, tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal(lambda: store)


def airflow_runs(portal: Portal, runs: list[dict[str, Any]]) -> None:
    """Serves runs like Airflow; each run has a failed task."""

    @portal.host.get("/api/v2/dags/{dag_id}/dagRuns")
    def list_runs(dag_id: str, limit: int, offset: int) -> dict[str, Any]:
        return {"dag_runs": runs[offset : offset + limit], "total_entries": len(runs)}

    @portal.host.get("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
    def list_tasks(dag_id: str, run_id: str) -> dict[str, Any]:
        task = {"dag_run_id": run_id, "task_id": "plan", "state": "failed", "end_date": None, "map_index": -1}
        return {"task_instances": [task], "total_entries": 1}

    @portal.host.get("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/plan/xcomEntries/{key}")
    def show_value(dag_id: str, run_id: str, key: str) -> dict[str, Any]:
        return {"value": {"failure": "events: no table x" + LONG, "failure_kind": "StatementError"}[key]}


def airflow_run(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "dag_run_id": f"ask__{number}", "state": "queued", "note": None, "conf": {}, "run_type": "manual",
        "run_after": f"2026-01-{number:02d}T00:00:00Z", "queued_at": None, "start_date": None, "end_date": None,
        "triggering_user_name": "ann", **changes,
    }  # fmt: skip


def test_run_list_includes_runs_of_the_command_line(
    portal: Portal, definition: ReportDefinition, store: MemoryStore, fresh_database: str
) -> None:
    fill_events(fresh_database)
    run_id = f"cli__{'a' * 32}"  # the oldest run, because its made_at is in 2013
    session = session_of(fresh_database)
    run_report(definition, request_of(definition, run_id=run_id), session=session, store=store)
    run_report(definition, request_of(definition, end="2013-02-28", run_id="events__x"), session=session, store=store)
    airflow_runs(portal, [airflow_run(2), airflow_run(1)])
    newest, older, own = portal.get(RUNS).json()
    assert [newest["run_id"], older["run_id"], own["run_id"]] == ["ask__2", "ask__1", run_id]
    assert (own["state"], own["asked_by"], own["rows"]) == ("done", "the command line", 6)
    assert (own["start"], own["end"], own["formats"]) == ("2013-01-01", "2013-03-31", ["xlsx"])
    assert [run["run_id"] for run in portal.get(RUNS, params={"limit": 1, "offset": 2}).json()] == [run_id]
    details = portal.get(f"{RUNS}/{run_id}").json()
    assert {name: details[name] for name in own} == own
    assert [stage["stage"] for stage in details["stages"]]
    assert portal.get(f"{RUNS}/cli__{'b' * 32}").status_code == 404
    page = portal.get("/reports/events")
    assert (page.status_code, run_id in page.text) == (200, True)


def test_run_page_of_an_airflow_run_with_a_command_line_id_is_shown(portal: Portal) -> None:
    run = airflow_run(1, dag_run_id=f"cli__{'c' * 32}")

    @portal.host.get("/api/v2/dags/events/dagRuns/{run_id}")
    def show_run(run_id: str) -> dict[str, Any]:
        assert run_id == run["dag_run_id"]
        return run

    airflow_runs(portal, [run])
    (listed,) = portal.get(RUNS).json()
    details = portal.get(f"{RUNS}/{listed['run_id']}")
    assert (details.status_code, details.json()["asked_by"]) == (200, "ann")


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_merge_page_pages_together_are_the_complete_sorted_list(limit: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    days = [start + timedelta(days=number) for number in range(12, 0, -1)]
    for places in itertools.combinations(range(12), 3):
        own = [CommandLineRun(made_at=days[place], run_key="", run_id="") for place in places]
        others = [(day, day) for number, day in enumerate(days) if number not in places]
        merged = list[datetime]()
        for offset in range(0, 12, limit):
            first = max(offset - len(own), 0)
            window = others[first : offset + limit]
            page = merge_page(window, own, skip=offset - first, limit=limit)
            merged += [run.made_at if isinstance(run, CommandLineRun) else run for run in page]
        assert merged == days


def test_run_list_truncates_long_values(portal: Portal) -> None:
    long = {"start": "2013-01-01", "end": "2013-01-31", "kind": LONG}
    unknown = {"y" * 50_000: 1}
    airflow_runs(portal, [airflow_run(2, conf=long), airflow_run(1, conf=unknown, state="failed")])
    first, second = portal.get(RUNS).json()
    assert first["parameters"] == {"kind": f"{'x' * 99}…"}
    assert len(second["error"]) <= 500


def test_pages_show_the_parameter_titles_of_a_run(portal: Portal) -> None:
    run = airflow_run(1, conf={"start": "2013-01-01", "end": "2013-01-31", "kind": "refund"})

    @portal.host.get("/api/v2/dags/events/dagRuns/{run_id}")
    def show_run(run_id: str) -> dict[str, Any]:
        return run

    airflow_runs(portal, [run])
    for address in ("/reports/events", "/reports/events/runs/ask__1"):
        page = portal.get(address)
        assert (page.status_code, "Kind: refund" in page.text) == (200, True), address


def test_failed_run_shows_an_explanation_and_folds_the_error(portal: Portal) -> None:
    airflow_runs(portal, [airflow_run(1, state="failed")])
    (run,) = portal.get(RUNS).json()
    assert run["explanation"] == (
        "The database rejected this report's query. Contact Finance data (finance@example.org)."
    )
    assert run["error"].startswith("events: no table x")

    @portal.host.get("/api/v2/dags/events/dagRuns/{run_id}")
    def show_run(run_id: str) -> dict[str, Any]:
        return airflow_run(1, state="failed")

    page = portal.get("/reports/events/runs/ask__1").text
    folded = page.partition("<details><summary>Technical details</summary>")[2].partition("</details>")[0]
    assert folded.startswith("events: no table x")
    assert page.count("no table x") == 1
