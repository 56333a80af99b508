"""Tampering with XComs is detected: a task accepts only records that another task in the same run wrote for it."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.airflow_dag.xcom import CACHED, DAMAGE, PLAN, RUN, USAGE
from quire.dev_stack.postgres_server import PostgresServer
from quire.dev_stack.s3_server import S3Server
from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store.s3_store import S3Store
from quire.postgres import SourceSession
from quire.report.definition import ReportDefinition
from quire.runs.leases import lease_key
from quire.runs.manifest_store import read_manifest
from quire.runs.verify import verify_run

from tests.airflow.task_calls import TaskCalls, task_calls
from tests.databases import new_database
from tests.events import SQL, events_report, fill_events, session_of

CONF = {"start": "2013-01-01", "end": "2013-02-28", "formats": ["csv"]}
OTHER = "a" * 32
STAGES = ("plan", "extract", "layout", "aggregate", "render", "publish")

Forgery = Callable[[TaskCalls], Any]


def change(sealed: Any, path: str, value: Any) -> None:
    """Changes the value at a dotted path of names and indexes in a sealed record, as a user who edits XComs could."""
    record = json.loads(sealed["record"])
    *places, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place = record
    for step in places:
        place = place[step]
    place[last] = value
    sealed["record"] = json.dumps(record)


def swap(calls: TaskCalls, task_id: str, key: str, other: Any) -> None:
    calls.xcoms[task_id][key] = copy.deepcopy(other)


FORGERIES: dict[str, tuple[str, Forgery]] = {  # the first task that reads the XCom, and the forgery
    "source digest": ("extract", lambda c: change(c.of("plan", PLAN), "source_digest", OTHER)),
    "time column": ("extract", lambda c: change(c.of("plan", PLAN), "columns.1.pg_type", "text), (SELECT 'forged'")),
    "dates": ("extract", lambda c: change(c.of("plan", PLAN), "request.end", "2014-12-31")),
    "run of the plan": ("extract", lambda c: change(c.of("plan", PLAN), "request.run_id", "events:r2")),
    "version": ("extract", lambda c: c.of("plan", PLAN).update(definition=OTHER)),
    "seal": ("extract", lambda c: c.of("plan", PLAN).update(seal="\ud800")),
    "no seal": ("extract", lambda c: c.of("plan", PLAN).pop("seal")),
    "malformed plan": ("extract", lambda c: c.xcoms["plan"].update({PLAN: 1})),
    "group": ("extract", lambda c: change(c.of("plan")[0], "0.key", "../../other")),
    "group for the plan": ("extract", lambda c: swap(c, "plan", PLAN, c.of("plan")[0])),
    "cached rows": ("layout", lambda c: c.of("plan", CACHED).update(record="[1]")),
    "extracted rows": ("layout", lambda c: change(c.of("extract")[0], "0.object_key", "partitions/other/x.parquet")),
    "count of rows": ("layout", lambda c: change(c.of("extract")[0], "0.rows", 7)),
    "missing group": ("layout", lambda c: c.of("extract").pop()),
    "rows of the run": ("aggregate", lambda c: change(c.of("layout", RUN), "partitions.0.object_key", OTHER)),
    "published run": ("aggregate", lambda c: change(c.of("layout", RUN), "layout.already_published", True)),
    "summary": ("publish", lambda c: change(c.of("aggregate"), "0.object_key", f"summaries/other/{OTHER}.parquet")),
    "columns of the run": ("render", lambda c: change(c.of("layout", RUN), "plan.columns.3.pg_type", "int8")),
    "rendered rows": ("render", lambda c: change(c.of("layout")[0], "0.slices.0.rows", 7)),
    "run key": ("publish", lambda c: change(c.of("layout", RUN), "layout.run_key", "e" * 32)),
    "missing summaries": ("publish", lambda c: c.xcoms["aggregate"].update(return_value=None)),
    "files of the run": ("publish", lambda c: change(c.of("layout", RUN), "layout.file_names", [])),
    "file": ("publish", lambda c: change(c.of("render")[0], "0.key", f"reports/other/{OTHER}/{OTHER}/paid.csv")),
    "digest of a file": ("publish", lambda c: change(c.of("render")[0], "0.sha256", "0" * 64)),
    "files for the run": ("publish", lambda c: swap(c, "layout", RUN, c.of("render")[0])),
    "damage": ("publish", lambda c: c.xcoms["aggregate"].update({DAMAGE: "x" * 1_000_000})),
    "damage of a workbook": ("publish", lambda c: c.xcoms["render"].update({DAMAGE: 5})),
    "files that are no list": ("publish", lambda c: c.xcoms["render"].update(return_value=5)),
    "usages as text": ("publish", lambda c: c.xcoms["extract"].update({USAGE: "usages"})),
    "usage": ("publish", lambda c: change(c.of("extract", USAGE)[0], "task", "x" * 40_000_000)),
}


@pytest.fixture
def session(fresh_database: str) -> SourceSession:
    fill_events(fresh_database)
    return session_of(fresh_database)


@pytest.fixture
def calls(tmp_path: Path, session: SourceSession, bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> TaskCalls:
    return task_calls(monkeypatch, events_report(tmp_path), CONF, session=session, store=bucket)


def call(calls: TaskCalls, *stages: str) -> None:
    for stage in stages:
        getattr(calls, stage)()


@pytest.fixture(scope="module")
def module_session(postgres_server: PostgresServer) -> Iterator[SourceSession]:
    with new_database(postgres_server) as url:
        fill_events(url)
        yield session_of(url)


@pytest.fixture(scope="module")
def module_bucket(s3_server: S3Server) -> S3Store:
    return s3_server.create_bucket(f"test-{uuid.uuid4().hex}")


@pytest.fixture(scope="module")
def rendered(
    tmp_path_factory: pytest.TempPathFactory, module_session: SourceSession, module_bucket: S3Store
) -> dict[str, TaskCalls]:
    """Two runs with the same ID but different rows, by the value of their parameter; publish has run for neither.

    Tests that only read XComs share these runs.
    """
    definition = two_kinds(tmp_path_factory.mktemp("include"))
    runs = {}
    for kind in "ba":
        with pytest.MonkeyPatch.context() as patch:
            conf = {**CONF, "kind": kind}
            runs[kind] = task_calls(patch, definition, conf, session=module_session, store=module_bucket)
            call(runs[kind], *STAGES[:-1])
    return runs


def copy_of(calls: TaskCalls, monkeypatch: pytest.MonkeyPatch, *, session: SourceSession, store: S3Store) -> TaskCalls:
    """Returns the same run with XComs that a test may change."""
    copied = task_calls(monkeypatch, calls.definition, calls.conf, session=session, store=store)
    copied.xcoms, copied.started_at = copy.deepcopy(calls.xcoms), calls.started_at
    return copied


def two_kinds(include: Path) -> ReportDefinition:
    sql = SQL.replace("ORDER BY", "AND kind = %(kind)s ORDER BY")
    return events_report(include, sql=sql, parameters={"kind": {"type": "string", "default": "a"}})


def test_tasks_with_unchanged_xcoms_publish_the_run(calls: TaskCalls, bucket: S3Store) -> None:
    call(calls, *STAGES)
    manifest = read_manifest(bucket, "events", calls.of("publish")["run"])
    assert [file.name for file in manifest.files][:2] == ["events_2013-01.csv", "events_2013-02.csv"]
    assert list(dict.fromkeys(usage.stage for usage in manifest.usage)) == list(STAGES)
    assert bucket.size(lease_key("events", "events:r1")) is None


@pytest.mark.parametrize(("stage", "forge"), FORGERIES.values(), ids=list(FORGERIES))
def test_task_with_a_changed_xcom_fails_with_one_line(
    rendered: dict[str, TaskCalls],
    module_session: SourceSession,
    module_bucket: S3Store,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    forge: Forgery,
) -> None:
    calls = copy_of(rendered["a"], monkeypatch, session=module_session, store=module_bucket)
    forge(calls)
    stored = {entry.key for entry in module_bucket.list("")}
    with pytest.raises(IntegrityError, match=r"XCom in this run|partitions do not match its date range") as raised:
        call(calls, stage)
    assert not isinstance(raised.value, DamagedObjectError)  # a DamagedObjectError would make publish repeat the run
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200
    assert {entry.key for entry in module_bucket.list("")} - {lease_key("events", "events:r1")} <= stored


@pytest.mark.parametrize("task_and_stage", [("render", "publish"), ("extract", "layout")], ids=lambda pair: pair[0])
def test_duplicate_record_counts_once(calls: TaskCalls, bucket: S3Store, task_and_stage: tuple[str, str]) -> None:
    task_id, stage = task_and_stage
    call(calls, *STAGES[: STAGES.index(stage)])
    calls.of(task_id).append(calls.of(task_id)[0])
    calls.of(task_id, USAGE).extend(calls.of(task_id, USAGE) * 1000)
    call(calls, *STAGES[STAGES.index(stage) :])
    manifest = read_manifest(bucket, "events", calls.of("publish")["run"])
    assert [file.name for file in manifest.files][:2] == ["events_2013-01.csv", "events_2013-02.csv"]
    assert [usage.stage for usage in manifest.usage].count(task_id) == 2


def test_run_with_missing_files_is_repeated(calls: TaskCalls, session: SourceSession, bucket: S3Store) -> None:
    call(calls, *STAGES[:-1])
    calls.of("render").pop()
    call(calls, "publish")
    manifest = read_manifest(bucket, "events", calls.of("publish")["run"])
    assert [file.name for file in manifest.files][:2] == ["events_2013-01.csv", "events_2013-02.csv"]
    assert verify_run(manifest.run, store=bucket).problems == ()


MIXTURES: dict[str, tuple[str, tuple[str, str]]] = {  # the task that reads the record, and the XCom to replace
    "groups": ("extract", ("plan", "return_value")),
    "cached": ("layout", ("plan", CACHED)),
    "rows": ("layout", ("extract", "return_value")),
    "summaries": ("publish", ("aggregate", "return_value")),
    "workbooks": ("render", ("layout", "return_value")),
    "run": ("render", ("layout", RUN)),
}


@pytest.fixture
def attempts(
    tmp_path: Path, session: SourceSession, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> tuple[TaskCalls, TaskCalls]:
    """Two runs with the same ID but different rows, as if the first run had been deleted in Airflow.

    All of the first run's tasks except publish have run.
    """
    definition = two_kinds(tmp_path)
    earlier, later = (
        task_calls(monkeypatch, definition, {**CONF, "kind": kind}, session=session, store=bucket) for kind in "ba"
    )
    call(earlier, *STAGES[:-1])
    return earlier, later


@pytest.mark.parametrize(("stage", "place"), MIXTURES.values(), ids=list(MIXTURES))
def test_record_of_an_earlier_run_with_the_same_id_is_rejected(
    rendered: dict[str, TaskCalls],
    module_session: SourceSession,
    module_bucket: S3Store,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    place: tuple[str, str],
) -> None:
    later = copy_of(rendered["a"], monkeypatch, session=module_session, store=module_bucket)
    task_id, key = place
    later.xcoms[task_id][key] = rendered["b"].of(task_id, key)
    with pytest.raises(IntegrityError, match=r"XCom in this run|partitions do not match its date range"):
        call(later, stage)


def test_records_of_an_earlier_attempt_next_to_new_ones_are_ignored(
    attempts: tuple[TaskCalls, TaskCalls], bucket: S3Store
) -> None:
    """If clearing a run removes mapped task instances, Airflow keeps their XComs."""
    earlier, later = attempts
    for stage in STAGES:
        call(later, stage)
        if stage in ("extract", "render"):
            for key in ("return_value", USAGE):
                later.of(stage, key).extend(earlier.of(stage, key))
    manifest = read_manifest(bucket, "events", later.of("publish")["run"])
    assert (manifest.parameters, verify_run(manifest.run, store=bucket).problems) == ({"kind": "a"}, ())
    assert [file.name for file in manifest.files][:2] == ["events_2013-01.csv", "events_2013-02.csv"]
    assert [usage.stage for usage in manifest.usage].count("extract") == 2


def test_files_of_an_earlier_attempt_are_rendered_again(attempts: tuple[TaskCalls, TaskCalls], bucket: S3Store) -> None:
    earlier, later = attempts
    call(later, *STAGES[:-1])
    later.xcoms["render"]["return_value"] = earlier.of("render")
    call(later, "publish")
    manifest = read_manifest(bucket, "events", later.of("publish")["run"])
    assert (manifest.parameters, verify_run(manifest.run, store=bucket).problems) == ({"kind": "a"}, ())


def test_summaries_of_rows_that_have_changed_since_are_rejected(
    calls: TaskCalls, session: SourceSession, bucket: S3Store
) -> None:
    call(calls, *STAGES[:-1])
    earlier = calls.of("aggregate")
    with psycopg.connect(session.url, autocommit=True) as connection:
        connection.execute("UPDATE events SET amount = 5000 WHERE id = 2")
    bucket.delete([entry.key for entry in bucket.list("partitions/")])  # so that extract reads the rows again
    call(calls, *STAGES[1:-1])
    calls.xcoms["aggregate"]["return_value"] = earlier
    with pytest.raises(IntegrityError, match=r"XCom in this run \(summaries\)"):
        call(calls, "publish")
