"""When a task parses the DAG file, only the DAGs of its own report are built."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID
from quire.airflow_dag.dag import build_report_dags

from tests.events import DEFINITION, SQL, events_report, write_report


@pytest.fixture
def include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    events_report(tmp_path)
    source = {**DEFINITION["source"], "sql": "daily/extract.sql", "freshness": {"probe": "at"}}
    daily = {**DEFINITION, "source": source, "store_schedule": "0 2 * * *"}
    write_report(tmp_path, "daily", daily, SQL)
    for name in ("torn", "not valid"):
        (tmp_path / "reports" / f"{name}.yaml").write_text("partition: mnth\n")
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("dag_id", "built"),
    [("events", {"events"}), ("daily__store", {"daily", "daily__store"}), ("torn", {"torn"})],
)
@pytest.mark.usefixtures("include")
def test_task_parses_only_its_own_report(monkeypatch: pytest.MonkeyPatch, dag_id: str, built: set[str]) -> None:
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, dag_id)
    assert set(build_report_dags()) == built


@pytest.mark.usefixtures("include")
def test_without_a_known_report_all_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, raising=False)
    dags = set(build_report_dags())
    (invalid_name,) = dags - {"events", "daily", "daily__store", "torn"}
    assert invalid_name.startswith("not_valid.")
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, invalid_name)
    assert set(build_report_dags()) == dags
