"""Airflow collects every report's DAGs, whatever exception a report's notifier raises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from quire.airflow_dag import dag as dag_module
from quire.report.catalog import Catalog, load_catalog
from quire.report.catalog.loading import read_report
from quire.report.definition import ReportDefinition
from quire.settings import CLONE

from tests.events import DEFINITION, SQL, events_report, write_report

pytestmark = pytest.mark.usefixtures("servers")  # each test imports Airflow in a separate process

NOTIFIERS = "tests.airflow.recording_notifier"
RAISING = {
    "exits": "unittest.__main__.X",
    "exits_on_import": "tests.airflow.exiting_module.Notifier",
    "exits_when_created": f"{NOTIFIERS}.ExitingNotifier",
    "exits_when_printed": f"{NOTIFIERS}.UnspeakableNotifier",
    "builds_dags": "airflow.example_dags.example_passing_params_via_test_command.X",
}


def write_reports(include: Path) -> None:
    events_report(include)
    for name, notifier in RAISING.items():
        source = {"sql": f"{name}/extract.sql", "time_column": "at"}
        notify = {"success": [{"notifier": notifier}]}
        write_report(include, name, {**DEFINITION, "source": source, "delivery": {"notify": notify}}, SQL)


def test_notifier_that_raises_breaks_only_its_report(tmp_path: Path) -> None:
    write_reports(tmp_path / "include")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("bagged_dags.py")],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(tmp_path / "home"),
            "QUIRE_INCLUDE": str(tmp_path / "include"),
            "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    bagged: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert (bagged["errors"], set(bagged["dags"])) == ({}, {"events", *RAISING})
    assert bagged["dags"]["events"][1] == ["quire"]
    assert {name: bagged["dags"][name][1:] for name in RAISING} == {
        name: [["broken definition", "quire"], ["definition"]] for name in RAISING
    }
    reasons = {name: bagged["dags"][name][0] for name in RAISING}
    assert "belongs to Python's standard library" in reasons["exits"]
    assert "SystemExit: 2" in reasons["exits_on_import"]
    assert "SystemExit: 3" in reasons["exits_when_created"]
    assert "has no attribute 'X'" in reasons["builds_dags"]  # the DAG that this module builds is not collected
    assert reasons["exits_when_printed"] == "exits_when_printed: unexpected error: SystemExit: 4"


class FailingQueues(dict[str, str]):
    """Queues by stage. Looking up publish's queue raises an error; by then, the DAG has several tasks."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def get(self, stage: str, default: Any = None) -> Any:
        if stage == "publish":
            raise self._error
        return default


@pytest.mark.parametrize("error", [RuntimeError("no tasks"), SystemExit(5)])
def test_dag_whose_build_fails_halfway_is_broken(tmp_path: Path, error: BaseException) -> None:
    events_report(tmp_path)
    write_report(tmp_path, "other", {**DEFINITION, "source": {"sql": "other/extract.sql", "time_column": "at"}}, SQL)
    definitions = load_catalog(tmp_path).definitions
    definitions["other"] = definitions["other"].model_copy(update={"queues": FailingQueues(error)})
    dags = dag_module.build_report_dags(Catalog(definitions))
    assert {name: "broken definition" in dag.tags for name, dag in dags.items()} == {"events": False, "other": True}
    assert str(error) in str(dags["other"].description)
    assert not any(dag.auto_register for dag in dags.values())  # otherwise, Airflow might collect the unfinished DAG


@pytest.mark.parametrize("error", [RuntimeError("no file"), SystemExit(5)])
def test_catalog_survives_an_unexpected_error_in_one_report(tmp_path: Path, error: BaseException) -> None:
    events_report(tmp_path)
    write_report(tmp_path, "other", {**DEFINITION, "source": {"sql": "other/extract.sql", "time_column": "at"}}, SQL)

    def read(path: Path) -> ReportDefinition:
        if path.stem == "other":
            raise error
        return read_report(path)

    catalog = load_catalog(tmp_path, read=read)
    assert (set(catalog.definitions), set(catalog.errors)) == ({"events"}, {"other"})
    assert str(error) in str(catalog.errors["other"])


def test_file_with_the_longest_name_has_a_broken_dag(tmp_path: Path) -> None:
    events_report(tmp_path)
    (tmp_path / "reports" / f"{'X' * 250}.yaml").write_text("title: [")
    assert len(dag_module.build_report_dags(load_catalog(tmp_path))) == 2
