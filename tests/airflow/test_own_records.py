"""XComs that somebody changed: no task uses an object, a date or a name that is not of its own report and run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quire.airflow_dag.handover import PLAN, RUN
from quire.airflow_dag.own_records import ensure_run_key
from quire.errors import DamagedObjectError, IntegrityError
from quire.leases import lease_key
from quire.object_store import ObjectStore
from quire.source import SourceSession
from quire.stored_manifests import read_manifest

from tests.airflow.task_calls import TaskCalls, task_calls
from tests.events import events_report, fill_events, session_of

CONF = {"start": "2013-01-01", "end": "2013-02-28", "formats": ["csv"]}
OTHER = "a" * 32
OTHERS = f"reports/other/{OTHER}/{OTHER}/other.csv"
OTHERS_ROWS = f"partitions/other/{OTHER}/2013-01/{OTHER}/{OTHER}.parquet"
FORGED = "timestamptz[]), (SELECT 'forged'"
STAGES = ("plan", "extract", "aggregate", "layout", "render", "publish")


def run_of(calls: TaskCalls) -> Any:
    return calls.of("layout", RUN)["record"]


def first_file(calls: TaskCalls) -> Any:
    return calls.of("render")[0][0]


def own_folder(calls: TaskCalls) -> str:
    return str(first_file(calls)["key"].rpartition("/")[0])


def move_file(calls: TaskCalls, name: str) -> None:
    first_file(calls).update(name=name, key=f"{own_folder(calls)}/{name}")


def drop_partition(calls: TaskCalls) -> None:
    del run_of(calls)["partitions"][1]


Forgery = Callable[[TaskCalls], Any]
FORGERIES: dict[str, tuple[str, Forgery]] = {  # the first task that uses it, and what somebody writes
    "source digest": ("extract", lambda c: c.of("plan", PLAN)["record"].update(source_digest=f"{OTHER}/../../other")),
    "source digest of others": ("extract", lambda c: c.of("plan", PLAN)["record"].update(source_digest=OTHER)),
    "planned time column": ("extract", lambda c: c.of("plan", PLAN)["record"]["columns"][1].update(pg_type=FORGED)),
    "planned columns": ("extract", lambda c: c.of("plan", PLAN)["record"].update(columns=[])),
    "planned report": ("extract", lambda c: c.of("plan", PLAN)["record"]["request"].update(report="other")),
    "planned run": ("extract", lambda c: c.of("plan", PLAN)["record"]["request"].update(run_id="events:r2")),
    "planned time": ("extract", lambda c: c.of("plan", PLAN)["record"]["request"].update(made_at="now")),
    "planned dates": ("extract", lambda c: c.of("plan", PLAN)["record"]["request"].update(end="2014-12-31")),
    "group key": ("extract", lambda c: c.of("plan")[0][0].update(key="../../other")),
    "group dates": ("extract", lambda c: c.of("plan")[0][0].update(start="2000-01-01")),
    "plan of no form": ("extract", lambda c: c.xcoms["plan"].update({PLAN: 1})),
    "extracted rows": ("aggregate", lambda c: c.of("extract")[0][0].update(object_key=OTHERS_ROWS)),
    "extracted token": ("aggregate", lambda c: c.of("extract")[0][0].update(token="../../../other")),
    "extracted dates": ("aggregate", lambda c: c.of("extract")[0][0].update(stop="2013-12-31")),
    "summary": ("layout", lambda c: c.of("aggregate")[0].update(object_key=OTHERS)),
    "summary name": ("layout", lambda c: c.of("aggregate")[0].update(name="Other")),
    "rendered rows": ("render", lambda c: c.of("layout")[0][0]["slices"][0].update(object_key=OTHERS_ROWS)),
    "workbook name": ("render", lambda c: c.of("layout")[0][0].update(stem="../../../other/x")),
    "run key": ("render", lambda c: run_of(c)["layout"].update(run_key="e" * 32)),
    "run key at the end": ("publish", lambda c: run_of(c)["layout"].update(run_key="e" * 32)),
    "report of the run": ("publish", lambda c: run_of(c)["plan"]["request"].update(report="other")),
    "summary of the run": ("publish", lambda c: run_of(c)["summaries"][0].update(object_key=OTHERS)),
    "time column of the run": ("publish", lambda c: run_of(c)["plan"]["columns"][1].update(pg_type=FORGED)),
    "rows of the run": ("publish", lambda c: run_of(c)["partitions"][0].update(object_key=OTHERS_ROWS)),
    "partitions of the run": ("publish", drop_partition),
    "file": ("publish", lambda c: first_file(c).update(key=OTHERS)),
    "file of two segments": ("publish", lambda c: move_file(c, "events_2013-01/x.csv")),
    "file above": ("publish", lambda c: move_file(c, "../../../other/x.csv")),
    "file of another name": ("publish", lambda c: move_file(c, "paid.csv")),
    "file of another format": ("publish", lambda c: move_file(c, "events_2013-01.html")),
}


@pytest.fixture
def session(fresh_database: str) -> SourceSession:
    return session_of(fresh_database)


@pytest.fixture
def calls(tmp_path: Path, session: SourceSession, bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> TaskCalls:
    fill_events(session.url)
    store = bucket
    store.put(OTHERS, b"secret")
    store.put(OTHERS_ROWS, b"secret rows")
    return task_calls(monkeypatch, events_report(tmp_path), CONF, session=session, store=store)


def test_tasks_of_an_unchanged_run_publish_it(calls: TaskCalls, bucket: ObjectStore) -> None:
    for stage in STAGES:
        getattr(calls, stage)()
    manifest = read_manifest(bucket, "events", calls.of("publish")["run"])
    assert [file.name for file in manifest.files][:2] == ["events_2013-01.csv", "events_2013-02.csv"]
    assert bucket.size(lease_key("events", "events:r1")) is None


@pytest.mark.parametrize(("stage", "forge"), FORGERIES.values(), ids=list(FORGERIES))
def test_task_with_a_changed_xcom_is_refused_in_one_line(
    calls: TaskCalls, bucket: ObjectStore, stage: str, forge: Forgery
) -> None:
    for before in STAGES[: STAGES.index(stage)]:
        getattr(calls, before)()
    forge(calls)
    stored = {entry.key for entry in bucket.list("")}
    with pytest.raises(IntegrityError, match=r"XCom of this run|other partitions than|other parameters") as raised:
        getattr(calls, stage)()
    assert not isinstance(raised.value, DamagedObjectError)  # which would start the run again
    assert "\n" not in str(raised.value)
    assert {entry.key for entry in bucket.list("")} == stored


@pytest.mark.parametrize("stage", ["extract", "publish"])
def test_column_type_of_a_changed_xcom_reaches_no_sql(
    calls: TaskCalls, session: SourceSession, tmp_path: Path, stage: str
) -> None:
    calls.definition = events_report(tmp_path, source={"freshness": {"probe": "id"}})
    calls.__post_init__()
    for before in STAGES[: STAGES.index(stage)]:
        getattr(calls, before)()
    plan = calls.of("plan", PLAN)["record"] if stage == "extract" else run_of(calls)["plan"]
    plan["columns"][1]["pg_type"] = FORGED
    with pytest.raises(IntegrityError, match="XCom of this run"):
        getattr(calls, stage)()
    sql = [statement.sql for statement in session.statements.statements()]
    assert any("width_bucket" in text for text in sql)
    assert not any("timestamptz[]), (SELECT" in text for text in sql)


def test_extract_of_changed_columns_stores_nothing(calls: TaskCalls, bucket: ObjectStore) -> None:
    calls.plan()
    calls.of("plan", PLAN)["record"]["columns"][3]["pg_type"] = "int8"
    stored = {entry.key for entry in bucket.list("")}
    with pytest.raises(IntegrityError, match="another source or other parameters"):
        calls.extract()
    assert {entry.key for entry in bucket.list("")} == stored


@pytest.mark.parametrize("run_key", ["", "../other", f"{OTHER}/..", OTHER.upper(), f"{OTHER}\n"])
def test_run_key_of_another_form_is_refused(run_key: str) -> None:
    with pytest.raises(IntegrityError, match="an XCom of this run"):
        ensure_run_key(run_key)
    ensure_run_key(OTHER)
