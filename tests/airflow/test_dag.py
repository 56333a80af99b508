"""Checks the DAGs that Airflow parses, without a scheduler: task order, retries, limits, forms and connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from quire.settings import CLONE

from tests.events import DEFINITION, SQL, events_report, write_report

pytestmark = pytest.mark.usefixtures("servers")  # each test imports Airflow in a separate process

CONNECTIONS = {
    "PLAIN": "postgresql://reader:secret@db.example.org:5433/shop?sslmode=require",
    "ESCAPED": "postgresql://re%20ader:p%20w%2F%40%3A%2B@db.example.org/my%20shop?options=-c%20search_path%3Dfoo&application_name=my%20app",
    "STRICT": "postgresql://reader@h/d?ssl_min_protocol_version=TLSv1.3&require_auth=scram-sha-256",
    "OTHER": "mysql://reader@h/d",
    "UNENCODED": "postgresql://reader:p@zz/w#rd@db.example.org:5433/shop",
    "PASTED": '{"conn_type": "postgres", "host": "reader:p@zz/w#rd@db.example.org", "schema": "shop"}',
}


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dag")
    include = folder / "include"
    events_report(
        include,
        sql=SQL.replace("ORDER BY", "AND kind = %(kind)s AND id < %(most)s AND at > %(since)s ORDER BY"),
        source={"parallel": 3, "timeout": "10m"},
        queues={"extract": "near_database"},
        pools={"extract": "warehouse", "publish": "mails"},
        parameters={
            "kind": {"type": "string", "enum": ["a", "b"], "default": None},
            "most": {"type": "integer", "minimum": 1, "default": 5},
            "since": {"type": "date"},
        },
    )
    source = {"sql": "watched/extract.sql", "time_column": "at", "freshness": {"probe": "id"}}
    write_report(include, "watched", {**DEFINITION, "source": source, "store_schedule": "0 2 * * *"}, SQL)
    recording = {"notifier": "tests.airflow.recording_notifier.RecordingNotifier", "target": "a", "texts": []}
    notify = {"success": ["a@example.org", recording], "failure": ["b@example.org"]}
    base = {**DEFINITION, "source": {"sql": "notifying/extract.sql", "time_column": "at"}}
    write_report(include, "notifying", {**base, "delivery": {"notify": notify}}, SQL)
    unusable = {"failure": ["b@example.org", {**recording, "targt": "b"}]}
    write_report(include, "unusable", {**base, "delivery": {"notify": unusable}}, SQL)
    flights = yaml.safe_load((CLONE / "include" / "reports" / "flights.yaml").read_text())
    (include / "sql" / "flights").mkdir()
    (include / "sql" / "flights" / "extract.sql").write_text((CLONE / "include/sql/flights/extract.sql").read_text())
    (include / "reports" / "flights.yaml").write_text(yaml.safe_dump(flights, sort_keys=False))
    for name in ("torn", "my events", "my_events"):
        (include / "reports" / f"{name}.yaml").write_text("title: !!bool Torn\n")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("dag_facts.py"), *(name.lower() for name in CONNECTIONS), "missing"],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(folder / "home"),
            "QUIRE_INCLUDE": str(include),
            "QUIRE_POD_TEMPLATES": "/opt/pods",
            "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE / 'dags'}:{CLONE}",
            **{f"AIRFLOW_CONN_{name}": value for name, value in CONNECTIONS.items()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    dags: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return dags


@pytest.fixture
def events(facts: dict[str, Any]) -> dict[str, Any]:
    report: dict[str, Any] = facts["dags"]["events"]
    return report


def test_tasks_follow_the_stages(events: dict[str, Any]) -> None:
    tasks = events["tasks"]
    assert {name for name, task in tasks.items() if task["mapped"]} == {"extract", "render"}
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        "plan": [],
        "extract": ["plan"],
        "layout": ["extract", "plan"],
        "aggregate": ["layout"],
        "render": ["layout"],
        "publish": ["aggregate", "extract", "layout", "plan", "render"],
    }


def test_tasks_retry_transient_errors_and_fail_on_terminal_errors(events: dict[str, Any]) -> None:
    for name, task in events["tasks"].items():
        assert (task["retries"], task["backoff"]) == (4, 2), name
        assert task["rules"] == [["TerminalError", "FAIL"], ["TransientError", "DEFAULT"]]


def test_tasks_configure_their_process_before_anything_else(facts: dict[str, Any]) -> None:
    reports = {name: dag["tasks"] for name, dag in facts["dags"].items() if "plan" in dag["tasks"]}
    assert {"events", "notifying", "watched__store"} <= set(reports)
    assert [name for tasks in reports.values() for name, task in tasks.items() if not task["configured"]] == []


def test_tasks_have_timeouts_and_extracts_respect_the_source_limit(events: dict[str, Any]) -> None:
    tasks = events["tasks"]
    assert all(task["timeout"] for task in tasks.values())
    assert tasks["extract"]["timeout"] == 8 * 600
    assert (tasks["extract"]["at_once"], tasks["render"]["at_once"]) == (3, None)


def test_tasks_use_the_queues_and_pools_of_their_stages(events: dict[str, Any]) -> None:
    placements = {name: (task["queue"], task["pool"]) for name, task in events["tasks"].items()}
    assert placements == {
        **dict.fromkeys(("plan", "aggregate", "layout", "render"), ("default", "default_pool")),
        "extract": ("near_database", "warehouse"),
        "publish": ("default", "mails"),
    }


def test_pods_use_the_template_of_their_stage(events: dict[str, Any]) -> None:
    configs = {name: task["executor_config"] for name, task in events["tasks"].items()}
    assert configs == {name: {"pod_template_file": f"/opt/pods/{name}.yaml"} for name in events["tasks"]}


def test_publish_updates_the_asset_even_if_nothing_was_rendered(events: dict[str, Any]) -> None:
    publish = events["tasks"]["publish"]
    assert (publish["outlets"], publish["trigger_rule"]) == (["quire://reports/events"], "none_failed")


def test_form_has_dates_parameters_and_force(events: dict[str, Any]) -> None:
    schemas, defaults = events["params"], events["defaults"]
    assert list(schemas) == ["start", "end", "kind", "most", "since", "formats", "force", "fan_out"]
    assert schemas["formats"]["items"]["enum"] == ["xlsx", "csv", "parquet"]
    assert defaults["formats"] == ["xlsx"]
    assert [(schemas[name]["type"], schemas[name]["format"]) for name in ("start", "end")] == [
        (["null", "string"], "date")
    ] * 2
    assert (schemas["kind"]["type"], schemas["kind"]["enum"]) == (["null", "string"], ["a", "b", None])
    assert (schemas["most"]["type"], schemas["most"]["minimum"], defaults["most"]) == ("integer", 1, 5)
    assert (schemas["since"]["type"], schemas["since"]["format"]) == ("string", "date")
    assert [(schemas[name]["type"], defaults[name]) for name in ("force", "fan_out")] == [("boolean", False)] * 2


def test_tasks_have_no_copies_of_the_params(facts: dict[str, Any]) -> None:
    assert [name for dag in facts["dags"].values() for name, task in dag["tasks"].items() if task["params"]] == []


def test_schedule_is_in_the_reports_time_zone(facts: dict[str, Any]) -> None:
    assert facts["dags"]["flights"]["cron"] == ["0 6 1 * *", "America/New_York"]


def test_schedule_catches_up_nothing_but_allows_backfills_of_any_day(events: dict[str, Any]) -> None:
    assert (events["catchup"], events["start"]) == (False, "1970-01-01 00:00:00+00:00")


def test_store_schedule_adds_a_dag_of_plan_extract_and_release(facts: dict[str, Any]) -> None:
    store = facts["dags"]["watched__store"]
    assert store["cron"] == ["0 2 * * *", "America/New_York"]
    tasks = store["tasks"]
    upstream = {"plan": [], "extract": ["plan"], "release": ["extract"]}
    assert {name: task["upstream"] for name, task in tasks.items()} == upstream
    assert tasks["release"]["trigger_rule"] == "none_failed"  # otherwise, a run in which extract failed would succeed
    assert store["tasks"]["extract"]["outlets"] == ["quire://partitions/watched"]
    assert facts["dags"]["watched"]["tasks"]["extract"]["outlets"] == ["quire://partitions/watched"]
    assert "events__store" not in facts["dags"]


def test_report_without_reusable_partitions_updates_no_partition_asset(events: dict[str, Any]) -> None:
    assert events["tasks"]["extract"]["outlets"] == []


def test_only_reports_with_notifications_have_a_task_after_their_stages(
    facts: dict[str, Any], events: dict[str, Any]
) -> None:
    tasks = facts["dags"]["notifying"]["tasks"]
    assert set(tasks) - set(events["tasks"]) == {"notify"}
    assert tasks["notify"]["upstream"] == sorted(events["tasks"])
    assert tasks["notify"]["trigger_rule"] == "all_done"


def test_layout_and_publish_run_after_skipped_tasks(events: dict[str, Any]) -> None:
    rules = {name: task["trigger_rule"] for name, task in events["tasks"].items()}
    assert rules == {
        "plan": "all_success",
        "extract": "all_success",
        "layout": "none_failed",
        "aggregate": "all_success",
        "render": "all_success",
        "publish": "none_failed",
    }


def test_housekeeping_is_daily(facts: dict[str, Any]) -> None:
    assert facts["housekeeping"] == {
        "dag_id": "quire__housekeeping",
        "cron": "0 4 * * *",
        "tasks": ["collect", "compact"],
        "configured": True,
        "pods": {"collect": {}, "compact": {"pod_template_file": "/opt/pods/compact.yaml"}},
    }


def test_new_report_is_not_paused(facts: dict[str, Any]) -> None:
    assert {name: dag["paused"] for name, dag in facts["dags"].items()} == dict.fromkeys(facts["dags"], False)


def test_broken_file_gets_a_separate_dag_and_leaves_other_dags_alone(facts: dict[str, Any]) -> None:
    broken = set(facts["dags"]) - {"events", "flights", "notifying", "watched", "watched__store"}
    assert len(broken) == 4
    assert {"torn", "unusable"} < broken
    assert all(list(facts["dags"][name]["tasks"]) == ["definition"] for name in broken)
    assert {facts["dags"][name]["tasks"]["definition"]["retries"] for name in broken} == {0}


@pytest.mark.parametrize("name", ["plain", "escaped", "strict"])
def test_source_url_in_airflow_equals_that_of_the_command_line(facts: dict[str, Any], name: str) -> None:
    from psycopg.conninfo import conninfo_to_dict

    assert conninfo_to_dict(facts["sources"][name]) == conninfo_to_dict(CONNECTIONS[name.upper()])


def test_source_without_a_postgresql_connection_is_rejected(facts: dict[str, Any]) -> None:
    assert facts["sources"]["missing"] == (
        "NoConnectionError: Airflow has no missing connection. Add it, or set AIRFLOW_CONN_MISSING to "
        "postgresql://USER:PASSWORD@HOST/DATABASE"
    )
    assert facts["sources"]["other"].startswith("SettingsError: the other connection is of type mysql")


@pytest.mark.parametrize("name", ["unencoded", "pasted"])
def test_source_with_a_truncated_password_is_rejected_without_showing_it(facts: dict[str, Any], name: str) -> None:
    assert facts["sources"][name].startswith("SettingsError: ")
    assert "zz" not in facts["sources"][name]
