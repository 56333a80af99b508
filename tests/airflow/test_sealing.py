"""Tampering with XComs is detected: a task accepts only records that another task in the same run wrote for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.airflow_dag.sealing import SEALING_KEY, Sealer, unverified_count
from quire.airflow_dag.xcom import CACHED, DAMAGE, PLAN, RUN, USAGE
from quire.errors import DamagedObjectError, DefinitionError, IntegrityError
from quire.object_store.s3_store import S3Store
from quire.postgres import SourceSession
from quire.runs.leases import lease_key
from quire.runs.manifest_store import read_manifest
from quire.runs.verify import verify_run

from tests.airflow.task_calls import TaskCalls, task_calls
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
    "count of rows": ("layout", lambda c: change(c.of("extract")[0], "0.rows", 1)),
    "missing group": ("layout", lambda c: c.of("extract").pop()),
    "rows of the run": ("aggregate", lambda c: change(c.of("layout", RUN), "partitions.0.object_key", OTHER)),
    "published run": ("aggregate", lambda c: change(c.of("layout", RUN), "layout.already_published", True)),
    "summary": ("publish", lambda c: change(c.of("aggregate"), "0.object_key", f"summaries/other/{OTHER}.parquet")),
    "columns of the run": ("render", lambda c: change(c.of("layout", RUN), "plan.columns.3.pg_type", "int8")),
    "rendered rows": ("render", lambda c: change(c.of("layout")[0], "0.slices.0.rows", 1)),
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


def test_tasks_with_unchanged_xcoms_publish_the_run(calls: TaskCalls, bucket: S3Store) -> None:
    call(calls, *STAGES)
    manifest = read_manifest(bucket, "events", calls.of("publish")["run"])
    assert [file.name for file in manifest.files][:2] == ["events_2013-01.csv", "events_2013-02.csv"]
    assert list(dict.fromkeys(usage.stage for usage in manifest.usage)) == list(STAGES)
    assert bucket.size(lease_key("events", "events:r1")) is None


@pytest.mark.parametrize(("stage", "forge"), FORGERIES.values(), ids=list(FORGERIES))
def test_task_with_a_changed_xcom_fails_with_one_line(
    calls: TaskCalls, bucket: S3Store, stage: str, forge: Forgery
) -> None:
    call(calls, *STAGES[: STAGES.index(stage)])
    forge(calls)
    stored = {entry.key for entry in bucket.list("")}
    with pytest.raises(IntegrityError, match=r"XCom in this run|partitions do not match its date range") as raised:
        call(calls, stage)
    assert not isinstance(raised.value, DamagedObjectError)  # a DamagedObjectError would make publish repeat the run
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200
    assert {entry.key for entry in bucket.list("")} - {lease_key("events", "events:r1")} <= stored


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
    sql = SQL.replace("ORDER BY", "AND kind = %(kind)s ORDER BY")
    definition = events_report(tmp_path, sql=sql, parameters={"kind": {"type": "string", "default": "a"}})
    earlier, later = (
        task_calls(monkeypatch, definition, {**CONF, "kind": kind}, session=session, store=bucket) for kind in "ba"
    )
    call(earlier, *STAGES[:-1])
    return earlier, later


@pytest.mark.parametrize(("stage", "place"), MIXTURES.values(), ids=list(MIXTURES))
def test_record_of_an_earlier_run_with_the_same_id_is_rejected(
    attempts: tuple[TaskCalls, TaskCalls], stage: str, place: tuple[str, str]
) -> None:
    earlier, later = attempts
    call(later, *STAGES[: STAGES.index(stage)])
    task_id, key = place
    later.xcoms[task_id][key] = earlier.of(task_id, key)
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


def test_unverified_count_does_not_parse_the_record(tmp_path: Path, bucket: S3Store) -> None:
    sealed = Sealer(events_report(tmp_path), "events:r1", store=bucket).seal(
        "groups", [{"key": "a"}, {"key": '"key": '}]
    )
    assert unverified_count(sealed, "key") == 2
    assert unverified_count({"record": "[" * 10_000_000}, "key") == 0
    values: list[Any] = [None, 5, [], {}, {"record": 5}]
    assert [unverified_count(value, "key") for value in values] == [None] * 5


def test_record_opens_only_for_its_own_run_report_and_version(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path)
    sealer = Sealer(definition, "events:r1", store=bucket)
    sealed = sealer.seal("plan", ["ä\u0000", 1e20, 0.1])
    assert Sealer(definition, "events:r1", store=bucket).open("plan", list[Any], sealed) == ["ä\u0000", 1e20, 0.1]
    for other in (Sealer(definition, "events:r2", store=bucket), Sealer(definition, "other:r1", store=bucket)):
        with pytest.raises(IntegrityError, match=r"an XCom in this run \(plan\) is not what its task wrote"):
            other.open("plan", list[Any], sealed)
    changed = definition.model_copy(update={"title": "Changed"})
    with pytest.raises(DefinitionError, match="changed during the run"):
        Sealer(changed, "events:r1", store=bucket).open("plan", list[Any], sealed)


def test_concurrent_tasks_agree_on_one_key(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path)
    sealers = [Sealer(definition, "events:r1", store=bucket) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda sealer: sealer.seal("plan", [1]), sealers))
    assert [sealers[0].open("plan", list[int], item) for item in sealed] == [[1]] * 8


def test_damaged_key_is_replaced(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path)
    sealed = Sealer(definition, "events:r1", store=bucket).seal("plan", [1])
    bucket.put(SEALING_KEY, b"{}garbage")
    sealer = Sealer(definition, "events:r1", store=bucket)
    assert sealer.open("plan", list[int], sealer.seal("plan", [2])) == [2]
    with pytest.raises(IntegrityError, match="start the run again"):
        sealer.open("plan", list[int], sealed)
