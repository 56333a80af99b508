"""Small runs, which the plan task publishes itself, and larger runs' tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.airflow_dag import build_store_dag
from quire.airflow_dag.fan_out import PlanTask, small_run_limit
from quire.errors import IntegrityError, SettingsError
from quire.object_store.s3_store import S3Store
from quire.postgres import SourceSession
from quire.report.definition import ReportDefinition
from quire.runs.leases import active_runs, hold_lease
from quire.runs.manifest_store import read_manifest
from quire.runs.verify import verify_run
from quire.stage_threads import extract_groups
from quire.stages.plan import plan_partitions

from tests.airflow.task_calls import TaskCalls, task_calls
from tests.events import SQL, events_report, fill_events, request_of, session_of

CONF: dict[str, Any] = {"start": "2013-01-01", "end": "2013-02-28", "fan_out": False}
STAGES = ["plan", "extract", "layout", "aggregate", "render", "publish"]
PROBED = {"freshness": {"probe": "id"}}
UNDERESTIMATED = """\
CREATE FUNCTION public.copies() RETURNS SETOF integer LANGUAGE plpgsql ROWS 1
AS 'BEGIN RETURN QUERY SELECT generate_series(1, 200000); END'
"""
Start = Callable[..., TaskCalls]


@pytest.fixture
def session(fresh_database: str) -> SourceSession:
    fill_events(fresh_database)
    return session_of(fresh_database)


@pytest.fixture
def start(session: SourceSession, bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Calls plan for one of a definition's runs, and returns the run."""

    def call(definition: ReportDefinition, conf: dict[str, Any] = CONF, **options: Any) -> TaskCalls:
        calls = task_calls(monkeypatch, definition, conf, session=session, store=bucket, **options)
        calls.plan()
        return calls

    return call


def test_small_run_is_published_by_plan_and_skips_the_other_tasks(
    tmp_path: Path, bucket: S3Store, start: Start
) -> None:
    definition = events_report(tmp_path, source=PROBED)
    calls = start(definition)
    assert [task for task in calls.skipped if isinstance(task, str)] == STAGES[1:]
    published = calls.of("plan")
    assert (published["report"], published["reused"]) == ("events", False)
    assert verify_run(published["run"], store=bucket).problems == ()
    manifest = read_manifest(bucket, "events", published["run"])
    assert [usage.stage for usage in manifest.usage] == STAGES
    assert [file["name"] for file in published["files"]] == [file.name for file in manifest.files]
    assert calls.outlets["plan"] == ["quire://partitions/events", "quire://reports/events"]
    assert active_runs("events", store=bucket, now=bucket.now()) == []


def test_small_run_has_the_same_rows_as_a_run_of_separate_tasks(tmp_path: Path, bucket: S3Store, start: Start) -> None:
    definition = events_report(tmp_path, source=PROBED, workbook={"formats": ["csv"]})
    small = start(definition)
    digests = [file.sha256 for file in read_manifest(bucket, "events", small.of("plan")["run"]).files[:2]]
    bucket.delete([entry.key for entry in bucket.list("")])
    fanned = start(definition, {**CONF, "fan_out": True})
    assert fanned.skipped == []
    for stage in STAGES[1:]:
        getattr(fanned, stage)()
    assert fanned.of("publish")["run"] == small.of("plan")["run"]
    assert [file.sha256 for file in read_manifest(bucket, "events", small.of("plan")["run"]).files[:2]] == digests


def test_small_run_that_is_already_published_is_adopted(tmp_path: Path, bucket: S3Store, start: Start) -> None:
    definition = events_report(tmp_path, source=PROBED)
    first = start(definition)
    before = {entry.key for entry in bucket.list("")}
    again = start(definition)
    assert (again.of("plan")["run"], again.of("plan")["reused"]) == (first.of("plan")["run"], True)
    assert {entry.key for entry in bucket.list("")} == before
    assert again.outlets["plan"] == ["quire://reports/events"]  # no partition was extracted


@pytest.mark.parametrize(
    ("changes", "conf", "extracts"),
    [
        ({"fan_out": "always"}, {}, 2),
        ({}, {"fan_out": True}, 2),
        ({"pools": {"extract": "warehouse"}}, {}, 1),
        ({"pools": {"plan": "warehouse", "extract": "warehouse"}}, {}, 1),
        ({"queues": {"plan": "small"}}, {}, 1),
    ],
    ids=["definition", "request", "pool of a stage", "pool of two stages", "queue of plan"],
)
def test_run_fans_out_on_demand_or_if_stages_are_kept_apart(
    tmp_path: Path, start: Start, changes: dict[str, Any], conf: dict[str, Any], *, extracts: int
) -> None:
    calls = start(events_report(tmp_path, **changes), {**CONF, **conf})
    assert (calls.skipped, len(calls.of("plan"))) == ([], extracts)


def test_run_whose_stages_share_a_pool_stays_small(tmp_path: Path, start: Start) -> None:
    assert start(events_report(tmp_path, pools=dict.fromkeys(STAGES, "warehouse"))).skipped


def test_run_fans_out_if_its_estimate_exceeds_the_limit(tmp_path: Path, start: Start) -> None:
    calls = start(events_report(tmp_path, partition="day", fan_out="1s"))  # 59 partitions and files take longer
    assert (calls.skipped, len(calls.of("plan"))) == ([], 1)
    calls.extract()
    calls.layout()
    assert len(calls.of("layout")) == 1
    assert start(events_report(tmp_path, partition="day", fan_out="20s")).skipped


@pytest.mark.parametrize(("end", "extracts"), [("2013-07-31", 2), ("2014-12-31", 4)])
def test_extract_tasks_have_two_seconds_of_work_and_are_as_many_as_may_run_in_parallel(
    tmp_path: Path, start: Start, end: str, extracts: int
) -> None:
    calls = start(events_report(tmp_path, partition="day", fan_out="1s"), {**CONF, "end": end})
    assert len(calls.of("plan")) == extracts


def test_run_larger_than_estimated_fans_out_and_keeps_its_extracted_rows(
    tmp_path: Path, session: SourceSession, bucket: S3Store
) -> None:
    with psycopg.connect(session.url, autocommit=True) as connection:
        connection.execute(UNDERESTIMATED)
    sql = SQL.replace("FROM public.events", "FROM public.events CROSS JOIN public.copies()")
    definition = events_report(tmp_path, sql=sql, source=PROBED)
    request = request_of(definition, CONF["start"], CONF["end"])
    with hold_lease(request, store=bucket) as lease:
        task = PlanTask(
            definition=definition, request=request, session=session, store=bucket, lapsed=lease.has_lapsed, limit=0.1
        )
        outcome = task.execute()
    assert (outcome.published, outcome.planned.groups) == (None, ())
    assert [(part.rows, part.cache_hit) for part in outcome.planned.cached] == [(400_000, False), (200_000, False)]
    assert [usage.stage for usage in outcome.usage] == ["plan", "extract"]
    assert list(bucket.list("reports/")) == []


def test_extract_starts_no_group_after_its_time_is_over(
    tmp_path: Path, session: SourceSession, bucket: S3Store
) -> None:
    definition = events_report(tmp_path, partition="day", source={"parallel": 1})
    planned = plan_partitions(definition, request_of(definition), session=session, store=bucket)
    extracted = extract_groups(definition, planned, session=session, store=bucket, max_seconds=0)
    expected = [partition.key for group in planned.groups for partition in group]
    assert 0 < len(extracted) < len(expected)
    assert [partition.key for partition in extracted] == expected[: len(extracted)]


def test_plan_of_a_run_that_stores_partitions_never_publishes(tmp_path: Path, bucket: S3Store, start: Start) -> None:
    definition = events_report(tmp_path, source=PROBED, store_schedule="0 2 * * *")
    calls = start(definition, {**CONF, "fan_out": None}, build=build_store_dag)
    assert (calls.skipped, type(calls.of("plan"))) == ([], list)
    assert list(bucket.list("reports/")) == []


@pytest.mark.parametrize("changes", [{"source": PROBED}, {"source": {"freshness": "always"}}], ids=["probe", "always"])
def test_retried_plan_adopts_the_run_that_its_first_attempt_published(
    tmp_path: Path, bucket: S3Store, start: Start, changes: dict[str, Any]
) -> None:
    calls = start(events_report(tmp_path, **changes))
    first = calls.of("plan")
    calls.try_number = 2
    calls.plan()
    assert (calls.of("plan")["run"], calls.of("plan")["reused"]) == (first["run"], True)
    assert len([entry for entry in bucket.list("reports/") if entry.key.endswith("manifest.json")]) == 1


def test_retried_plan_announces_the_partitions_of_its_first_attempt(tmp_path: Path, start: Start) -> None:
    calls = start(events_report(tmp_path, source=PROBED))
    assert calls.partition_keys == ["2013-01", "2013-02"]
    calls.partition_keys.clear()
    calls.plan()
    assert calls.partition_keys == ["2013-01", "2013-02"]
    assert calls.outlets["plan"] == ["quire://partitions/events", "quire://reports/events"]


def test_plan_that_fans_out_fails_if_airflow_has_skipped_the_other_stages(tmp_path: Path, start: Start) -> None:
    calls = start(events_report(tmp_path, source=PROBED), {**CONF, "fan_out": True})
    calls.try_number, calls.earlier_states = 2, {"layout": "skipped"}
    with pytest.raises(IntegrityError, match="Airflow has already skipped this run's other stages"):
        calls.plan()


def test_skipped_stages_include_earlier_instances_of_mapped_tasks(tmp_path: Path, start: Start) -> None:
    calls = start(events_report(tmp_path, source=PROBED))
    assert {("extract", 0), ("extract", 63), ("render", 0), ("render", 63)} <= set(calls.skipped[len(STAGES) - 1 :])
    assert calls.of("plan", "skipmixin_key") == {"skipped": STAGES[1:]}


def test_limit_is_the_definitions_or_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, own = events_report(tmp_path), events_report(tmp_path / "own", fan_out="2m")
    request = request_of(plain, "2013-01-01", "2013-01-31")
    assert (small_run_limit(plain, request), small_run_limit(own, request)) == (5.0, 120.0)
    monkeypatch.setenv("QUIRE_FAN_OUT", "1m")
    assert (small_run_limit(plain, request), small_run_limit(own, request)) == (60.0, 120.0)
    monkeypatch.setenv("QUIRE_FAN_OUT", "always")
    assert (small_run_limit(plain, request), small_run_limit(own, request)) == (None, 120.0)
    monkeypatch.setenv("QUIRE_FAN_OUT", "soon")
    with pytest.raises(SettingsError, match="QUIRE_FAN_OUT is 'soon': write always, or a duration such as 5s"):
        small_run_limit(plain, request)
