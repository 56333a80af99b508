"""An active run's progress is read from its tasks' sealed records."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from quire.airflow_dag.sealing import Sealer
from quire.date_range import DatePartition
from quire.object_store.memory_store import MemoryStore
from quire.record_types.stage_records import PartitionStatistics, RowSlice, StagedPartition, WorkbookShard

from tests.events import events_report
from tests.portal.in_process import open_portal
from tests.portal.test_runs import RUNS, airflow_run
from tests.portal.test_unreadable_runs import XCOM, serve_runs

DAY = date(2013, 1, 1)
CACHED = StagedPartition(
    key="2013-01", start=DAY, stop=DAY, object_key="a", rows=1, bytes=1, sha256="", freshness_token="t",
    statistics=PartitionStatistics(nulls={"key": 1, "object_key": 2}),
)  # fmt: skip
SLICE = RowSlice(partition="2013-01", object_key="a", bytes=1, checksums="", offset=0, rows=1)


def task(task_id: str, map_index: int, state: str | None) -> dict[str, Any]:
    return {"task_id": task_id, "map_index": map_index, "state": state, "dag_run_id": "ask__1", "end_date": None}


@pytest.mark.parametrize(
    ("pushed", "progress"),
    [
        ({"stage": "plan"}, ("plan", 0, None, 0, None)),
        ({"stage": "extract", "partitions_done": 3, "partitions": 12}, ("extract", 3, 12, 0, None)),
        (
            {"stage": "render", "partitions_done": 12, "partitions": 12, "files_done": 1, "files": 2},
            ("render", 12, 12, 1, 2),
        ),
        ({"stage": "<b>", "partitions_done": "many", "partitions": [1]}, ("plan", 0, None, 0, None)),
    ],
    ids=["plan", "extract", "render", "edited"],
)
def test_progress_of_a_small_run_is_that_of_its_plan_task(
    tmp_path: Path,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    pushed: dict[str, Any],
    progress: tuple[Any, ...],
) -> None:
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    portal = open_portal(lambda: store)

    @portal.host.get(XCOM)
    def show_value(run_id: str, task_id: str, key: str) -> dict[str, Any]:
        return {"value": pushed if (task_id, key) == ("plan", "progress") else None}

    serve_runs(portal, [airflow_run(1, state="running")], tasks=[task("plan", -1, "running")])
    (run,) = portal.get(RUNS).json()
    names = ("stage", "partitions_done", "partitions", "files_done", "files")
    assert tuple(run["progress"][name] for name in names) == progress


WAITING = [task("plan", -1, "queued")]
EXTRACTING = [task("plan", -1, "success"), task("extract", 0, "success"), task("extract", 1, "running")]
RENDERING = [
    *(task("plan", -1, "success"), task("extract", 0, "success"), task("extract", 1, "success")),
    *(task("layout", -1, "success"), task("render", 0, "success"), task("render", 1, None)),
]
OF_PLAN = ["plan return_value", "plan cached"]


@pytest.mark.parametrize(
    ("tasks", "progress", "loaded"),
    [
        (WAITING, ("plan", 0, None, 0, None), []),
        (EXTRACTING, ("extract", 3, 4, 0, None), OF_PLAN),
        (RENDERING, ("render", 4, 4, 1, 2), [*OF_PLAN, "layout return_value"]),
    ],
    ids=["waiting", "extracting", "rendering"],
)
def test_progress_counts_partitions_and_files_of_finished_tasks(
    tmp_path: Path,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    tasks: list[dict[str, Any]],
    progress: tuple[Any, ...],
    loaded: list[str],
) -> None:
    sealer = Sealer(events_report(tmp_path), "events:ask__1", store=store)
    parts = [DatePartition(key=f"2013-0{month}", start=DAY, stop=DAY, timezone="UTC") for month in (2, 3, 4)]
    workbooks = [WorkbookShard(stem=f"events_{number}", start=DAY, end=DAY, slices=(SLICE,) * 3) for number in (1, 2)]
    pushed = {
        ("plan", "return_value"): [sealer.seal("groups", parts[:2]), sealer.seal("groups", parts[2:])],
        ("plan", "cached"): sealer.seal("cached", [CACHED]),
        ("layout", "return_value"): [sealer.seal("workbooks", [workbook]) for workbook in workbooks],
    }
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    portal, requested = open_portal(lambda: store), list[str]()

    @portal.host.get(XCOM)
    def show_value(run_id: str, task_id: str, key: str) -> dict[str, Any]:
        requested.append(f"{task_id} {key}")
        return {"value": pushed.get((task_id, key))}

    serve_runs(portal, [airflow_run(1, state="running")], tasks=tasks)
    (run,) = portal.get(RUNS).json()
    names = ("stage", "partitions_done", "partitions", "files_done", "files")
    assert tuple(run["progress"][name] for name in names) == progress
    assert sorted(requested) == sorted(loaded)
