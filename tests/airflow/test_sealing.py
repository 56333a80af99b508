"""XComs that somebody changed: a task opens only what a task of its own run wrote for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from quire.airflow_dag.handover import DAMAGE, PLAN, RUN, STORED, USAGE
from quire.airflow_dag.sealing import SEALING_KEY, Sealer, unverified_record
from quire.errors import DamagedObjectError, DefinitionError, IntegrityError
from quire.leases import lease_key
from quire.object_store import ObjectStore
from quire.run_key import ensure_run_key
from quire.source import SourceSession
from quire.stored_manifests import read_manifest
from quire.verify import verify_run

from tests.airflow.task_calls import TaskCalls, task_calls
from tests.events import events_report, fill_events, session_of

CONF = {"start": "2013-01-01", "end": "2013-02-28", "formats": ["csv"]}
OTHER = "a" * 32
STAGES = ("plan", "extract", "aggregate", "layout", "render", "publish")

Forgery = Callable[[TaskCalls], Any]


def change(sealed: Any, path: str, value: Any) -> None:
    """Writes a value into a sealed record, as whoever may edit XComs can; ``path`` has names and positions."""
    record = json.loads(sealed["record"])
    *places, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place = record
    for step in places:
        place = place[step]
    place[last] = value
    sealed["record"] = json.dumps(record)


def swap(calls: TaskCalls, task_id: str, key: str, other: Any) -> None:
    calls.xcoms[task_id][key] = copy.deepcopy(other)


FORGERIES: dict[str, tuple[str, Forgery]] = {  # the first task that uses it, and what somebody writes
    "source digest": ("extract", lambda c: change(c.of("plan", PLAN), "source_digest", OTHER)),
    "time column": ("extract", lambda c: change(c.of("plan", PLAN), "columns.1.pg_type", "text), (SELECT 'forged'")),
    "dates": ("extract", lambda c: change(c.of("plan", PLAN), "request.end", "2014-12-31")),
    "run of the plan": ("extract", lambda c: change(c.of("plan", PLAN), "request.run_id", "events:r2")),
    "version": ("extract", lambda c: c.of("plan", PLAN).update(definition=OTHER)),
    "seal": ("extract", lambda c: c.of("plan", PLAN).update(seal="é")),
    "no seal": ("extract", lambda c: c.of("plan", PLAN).pop("seal")),
    "plan of no form": ("extract", lambda c: c.xcoms["plan"].update({PLAN: 1})),
    "group": ("extract", lambda c: change(c.of("plan")[0], "0.key", "../../other")),
    "group for the plan": ("extract", lambda c: swap(c, "plan", PLAN, c.of("plan")[0])),
    "rows stored before": ("aggregate", lambda c: c.of("plan", STORED).update(record="[1]")),
    "extracted rows": ("aggregate", lambda c: change(c.of("extract")[0], "0.object_key", "partitions/other/x.parquet")),
    "count of rows": ("aggregate", lambda c: change(c.of("extract")[0], "0.rows", 1)),
    "group left out": ("aggregate", lambda c: c.of("extract").pop()),
    "group there twice": ("aggregate", lambda c: c.of("extract").append(c.of("extract")[0])),
    "summary": ("layout", lambda c: change(c.of("aggregate"), "0.object_key", f"summaries/other/{OTHER}.parquet")),
    "columns of the run": ("render", lambda c: change(c.of("layout", RUN), "plan.columns.3.pg_type", "int8")),
    "rendered rows": ("render", lambda c: change(c.of("layout")[0], "0.slices.0.rows", 1)),
    "run key": ("publish", lambda c: change(c.of("layout", RUN), "layout.run_key", "e" * 32)),
    "summaries of the run": ("publish", lambda c: change(c.of("layout", RUN), "summaries", [])),
    "file": ("publish", lambda c: change(c.of("render")[0], "0.key", f"reports/other/{OTHER}/{OTHER}/paid.csv")),
    "digest of a file": ("publish", lambda c: change(c.of("render")[0], "0.sha256", "0" * 64)),
    "files for the run": ("publish", lambda c: swap(c, "layout", RUN, c.of("render")[0])),
    "usage": ("publish", lambda c: change(c.of("extract", USAGE)[0], "task", "x" * 40_000_000)),
}


@pytest.fixture
def session(fresh_database: str) -> SourceSession:
    fill_events(fresh_database)
    return session_of(fresh_database)


@pytest.fixture
def calls(tmp_path: Path, session: SourceSession, bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> TaskCalls:
    return task_calls(monkeypatch, events_report(tmp_path), CONF, session=session, store=bucket)


def call(calls: TaskCalls, *stages: str) -> None:
    for stage in stages:
        getattr(calls, stage)()


def test_tasks_of_an_unchanged_run_publish_it(calls: TaskCalls, bucket: ObjectStore) -> None:
    call(calls, *STAGES)
    manifest = read_manifest(bucket, "events", calls.of("publish")["run"])
    assert [file.name for file in manifest.files][:2] == ["events_2013-01.csv", "events_2013-02.csv"]
    assert list(dict.fromkeys(usage.stage for usage in manifest.usage)) == list(STAGES)
    assert bucket.size(lease_key("events", "events:r1")) is None


@pytest.mark.parametrize(("stage", "forge"), FORGERIES.values(), ids=list(FORGERIES))
def test_task_with_a_changed_xcom_is_refused_in_one_line(
    calls: TaskCalls, bucket: ObjectStore, stage: str, forge: Forgery
) -> None:
    call(calls, *STAGES[: STAGES.index(stage)])
    forge(calls)
    stored = {entry.key for entry in bucket.list("")}
    with pytest.raises(IntegrityError, match=r"XCom of this run|other partitions than its range") as raised:
        call(calls, stage)
    assert not isinstance(raised.value, DamagedObjectError)  # which would start the run again
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200
    assert {entry.key for entry in bucket.list("")} - {lease_key("events", "events:r1")} <= stored


@pytest.mark.parametrize("forge", [lambda files: files.pop(), lambda files: files.append(files[0])])
def test_run_of_which_files_were_left_out_or_doubled_starts_again(
    calls: TaskCalls, session: SourceSession, bucket: ObjectStore, forge: Callable[[Any], Any]
) -> None:
    call(calls, *STAGES[:-1])
    forge(calls.of("render"))
    call(calls, "publish")
    manifest = read_manifest(bucket, "events", calls.of("publish")["run"])
    assert [file.name for file in manifest.files][:2] == ["events_2013-01.csv", "events_2013-02.csv"]
    assert verify_run(manifest.run, store=bucket).faults == ()


def test_damage_that_somebody_wrote_only_makes_the_run_start_again(calls: TaskCalls, bucket: ObjectStore) -> None:
    call(calls, *STAGES[:-1])
    calls.xcoms["aggregate"][DAMAGE] = "x" * 1_000_000
    call(calls, "publish")
    assert verify_run(calls.of("publish")["run"], store=bucket).faults == ()


def test_record_is_opened_by_its_own_run_report_and_version_only(tmp_path: Path, bucket: ObjectStore) -> None:
    definition = events_report(tmp_path)
    sealer = Sealer(definition, "events:r1", store=bucket)
    sealed = sealer.seal("plan", ["ä\u0000", 1e20, 0.1])
    assert Sealer(definition, "events:r1", store=bucket).open("plan", list[Any], sealed) == ["ä\u0000", 1e20, 0.1]
    assert unverified_record(sealed) == ["ä\u0000", 1e20, 0.1]
    for other in (Sealer(definition, "events:r2", store=bucket), Sealer(definition, "other:r1", store=bucket)):
        with pytest.raises(IntegrityError, match=r"an XCom of this run \(plan\) is not what its task wrote"):
            other.open("plan", list[Any], sealed)
    changed = definition.model_copy(update={"title": "Changed"})
    with pytest.raises(DefinitionError, match="changed while it ran"):
        Sealer(changed, "events:r1", store=bucket).open("plan", list[Any], sealed)


def test_tasks_that_begin_at_once_agree_on_one_key(tmp_path: Path, bucket: ObjectStore) -> None:
    definition = events_report(tmp_path)
    sealers = [Sealer(definition, "events:r1", store=bucket) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda sealer: sealer.seal("plan", [1]), sealers))
    assert len({item["seal"] for item in sealed}) == 1


def test_damaged_key_is_made_again(tmp_path: Path, bucket: ObjectStore) -> None:
    definition = events_report(tmp_path)
    sealed = Sealer(definition, "events:r1", store=bucket).seal("plan", [1])
    bucket.put(SEALING_KEY, b"{}garbage")
    sealer = Sealer(definition, "events:r1", store=bucket)
    assert sealer.open("plan", list[int], sealer.seal("plan", [2])) == [2]
    with pytest.raises(IntegrityError, match="start the run again"):
        sealer.open("plan", list[int], sealed)


@pytest.mark.parametrize("run_key", ["", "../other", f"{OTHER}/..", OTHER.upper(), f"{OTHER}\n"])
def test_run_key_of_another_form_is_refused(run_key: str) -> None:
    with pytest.raises(IntegrityError, match="an XCom of this run"):
        ensure_run_key(run_key)
    ensure_run_key(OTHER)
