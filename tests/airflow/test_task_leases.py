"""An Airflow run holds its lease between tasks, and releases it after the last task, a failure or a cancellation."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from quire.airflow_dag import build_store_dag
from quire.airflow_dag.xcom import airflow_run_id
from quire.errors import ReportError
from quire.object_store.s3_store import S3Store
from quire.runs.leases import lease_key

from tests.airflow.task_calls import TaskCalls, task_calls
from tests.events import events_report, fill_events, session_of

LEASE = lease_key("events", "events__store:r1")


@pytest.fixture
def storing(tmp_path: Path, fresh_database: str, bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> TaskCalls:
    fill_events(fresh_database)
    conf = {"start": "2013-01-01", "end": "2013-02-28"}
    session = session_of(fresh_database)
    return task_calls(monkeypatch, events_report(tmp_path), conf, session=session, store=bucket, build=build_store_dag)


def leases(store: S3Store) -> list[str]:
    return [entry.key for entry in store.list("leases/")]


def test_store_run_holds_its_lease_until_its_last_task(storing: TaskCalls, bucket: S3Store) -> None:
    storing.plan()
    assert leases(bucket) == [LEASE]
    storing.extract()
    assert leases(bucket) == [LEASE]
    assert storing.dag.get_task("release").upstream_task_ids == {"extract"}
    storing.release()
    assert leases(bucket) == []


def test_store_run_that_fails_releases_its_lease(storing: TaskCalls, fresh_database: str, bucket: S3Store) -> None:
    storing.plan()
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("ALTER TABLE events DROP COLUMN amount")
    with pytest.raises(ReportError) as raised:
        storing.extract()
    assert leases(bucket) == [LEASE]  # another attempt may follow
    storing.fail("extract", raised.value)
    assert leases(bucket) == []


def test_run_id_that_resembles_a_store_dag_has_a_separate_lease() -> None:
    assert airflow_run_id("events", "store__r1") != airflow_run_id("events__store", "r1")
    assert airflow_run_id("cli", "a" * 32) != f"cli__{'a' * 32}"
