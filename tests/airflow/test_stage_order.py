"""The stages aggregate and render depend on layout, and do nothing if the run is already published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from quire.airflow_dag import build_dag
from quire.airflow_dag.sealing import Sealer
from quire.airflow_dag.xcom import CACHED, DAMAGE, PLAN, RUN
from quire.object_store.s3_store import S3Store
from quire.postgres import SourceSession
from quire.record_types.stage_records import PlannedRun, StagedPartition, StagedRun, StagedSummary
from quire.runs.manifest_store import read_manifest
from quire.runs.verify import verify_run
from quire.stages.layout import layout_run
from quire.stages.plan import plan_partitions

from tests.airflow.task_calls import TaskCalls, task_calls
from tests.events import events_report, fill_events, session_of
from tests.workbooks import open_workbook

CONF = {"start": "2013-01-01", "end": "2013-02-28"}
STAGES = ("plan", "extract", "layout", "aggregate", "render", "publish")
PROBED = {"freshness": {"probe": "id"}}


@pytest.fixture
def session(fresh_database: str) -> SourceSession:
    fill_events(fresh_database)
    return session_of(fresh_database)


def run_stages(calls: TaskCalls, *stages: str) -> TaskCalls:
    for stage in stages:
        getattr(calls, stage)()
    return calls


@pytest.mark.parametrize(
    ("workbook", "upstream"),
    [
        ({"split": "partition"}, {"layout"}),
        ({"split": {"rows": 5}}, {"layout"}),
        ({"split": "none"}, {"layout", "aggregate"}),
        ({"split": "none", "detail": False}, {"layout"}),
    ],
)
def test_render_depends_on_aggregate_only_if_its_workbook_has_summaries(
    tmp_path: Path, workbook: dict[str, Any], upstream: set[str]
) -> None:
    dag = build_dag(events_report(tmp_path, workbook=workbook))
    assert dag.get_task("render").upstream_task_ids == upstream
    assert dag.get_task("aggregate").upstream_task_ids == {"layout"}
    assert dag.get_task("layout").upstream_task_ids == {"plan", "extract"}


def test_published_run_skips_aggregate_and_render_and_is_adopted(
    tmp_path: Path, session: SourceSession, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = events_report(tmp_path, source=PROBED)
    first = run_stages(task_calls(monkeypatch, definition, CONF, session=session, store=bucket), *STAGES)
    before = {entry.key for entry in bucket.list("")}
    again = run_stages(task_calls(monkeypatch, definition, CONF, session=session, store=bucket), *STAGES)
    assert (again.of("layout"), again.of("aggregate"), again.of("render")) == ([], None, [])
    assert (first.of("publish")["reused"], again.of("publish")["reused"]) == (False, True)
    assert again.of("publish")["run"] == first.of("publish")["run"]
    assert {entry.key for entry in bucket.list("")} == before


def test_run_whose_manifest_disappears_after_layout_is_repeated(
    tmp_path: Path, session: SourceSession, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = events_report(tmp_path, source=PROBED)
    first = run_stages(task_calls(monkeypatch, definition, CONF, session=session, store=bucket), *STAGES)
    again = run_stages(task_calls(monkeypatch, definition, CONF, session=session, store=bucket), *STAGES[:-1])
    bucket.delete([f"reports/events/{first.of('publish')['run']}/manifest.json"])
    run_stages(again, "publish")
    assert again.of("publish")["reused"] is False
    assert verify_run(again.of("publish")["run"], store=bucket).problems == ()


def test_single_workbook_contains_rows_and_summaries(
    tmp_path: Path, session: SourceSession, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = events_report(tmp_path, workbook={"split": "none"})
    calls = run_stages(task_calls(monkeypatch, definition, CONF, session=session, store=bucket), *STAGES)
    (file,) = read_manifest(bucket, "events", calls.of("publish")["run"]).files
    names = open_workbook(bucket, file.key).sheet_names
    assert {summary.name for summary in definition.summaries} < set(names)
    assert definition.title in names


def test_single_workbook_is_not_rendered_if_aggregate_failed(
    tmp_path: Path, session: SourceSession, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = events_report(tmp_path, workbook={"split": "none"})
    calls = run_stages(task_calls(monkeypatch, definition, CONF, session=session, store=bucket), *STAGES[:3])
    rows = next(entry.key for entry in bucket.list("partitions/") if entry.key.endswith(".parquet"))
    bucket.put(rows, b"damaged")
    run_stages(calls, "aggregate", "render")
    assert json.loads(calls.of("aggregate", DAMAGE)["record"])
    assert [json.loads(files["record"]) for files in calls.of("render")] == [[]]
    run_stages(calls, "publish")  # publish repeats the run
    assert verify_run(calls.of("publish")["run"], store=bucket).problems == ()


def test_records_in_xcoms_equal_those_of_a_single_process(
    tmp_path: Path, session: SourceSession, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = events_report(tmp_path, source=PROBED)
    run_stages(
        task_calls(monkeypatch, definition, {**CONF, "end": "2013-01-31"}, session=session, store=bucket),
        "plan",
        "extract",
    )
    calls = run_stages(task_calls(monkeypatch, definition, CONF, session=session, store=bucket), *STAGES[:4])
    sealer = Sealer(definition, "events:r1", store=bucket)
    run = sealer.open(RUN, StagedRun, calls.of("layout", RUN), chain=None)
    laid_out = layout_run(definition, run.plan, run.partitions, store=bucket)
    assert (run, len(calls.of("layout"))) == (laid_out.run, len(laid_out.groups))
    assert run.layout.file_names == ("events_2013-01.xlsx", "events_2013-02.xlsx")
    bucket.delete([f"{run.partitions[1].object_key.rpartition('/')[0]}.json"])
    planned = plan_partitions(definition, run.plan.request, session=session, store=bucket)
    cached = sealer.open(CACHED, tuple[StagedPartition, ...], calls.of("plan", CACHED), chain=None)
    plan = sealer.open(PLAN, type(run.plan), calls.of("plan", PLAN))
    assert planned == PlannedRun(plan=plan, cached=cached, groups=planned.groups)
    summaries = sealer.open("summaries", tuple[StagedSummary, ...], calls.of("aggregate"), chain=None)
    assert [summary.name for summary in summaries] == [summary.name for summary in definition.summaries]
