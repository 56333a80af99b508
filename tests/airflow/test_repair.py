"""Publish repeats a run with damaged objects in its own process, within the limits for a single task."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from quire.airflow_dag.repair import publish_or_repeat
from quire.object_store.memory_store import MemoryStore
from quire.record_types.stage_records import RunLayout, StagedRun
from quire.stages.plan import plan_partitions

from tests.events import events_report, fill_events, request_of, session_of


class UploadingStore(MemoryStore):
    """A store that records which threads upload partitions."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set()

    def open_upload(self, key: str, **options: Any) -> Any:
        """Returns a context manager that uploads a large object."""
        if key.startswith("partitions/"):
            self.threads.add(threading.current_thread().name)
        return super().open_upload(key, **options)


@pytest.mark.parametrize(
    ("pools", "max_threads"), [({}, 2), ({"extract": "warehouse"}, 1)], ids=["without pools", "with a pool"]
)
def test_repeated_run_extracts_with_as_few_threads_as_plan(
    tmp_path: Path, fresh_database: str, pools: dict[str, str], max_threads: int
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, source={"parallel": 16}, pools=pools)
    request, session, store = request_of(definition), session_of(fresh_database), UploadingStore()
    planned = plan_partitions(definition, request, session=session, store=store)
    layout = RunLayout(run_key="0" * 32, already_published=False, file_names=(), summaries_with_rows=False)
    published = publish_or_repeat(
        definition, StagedRun(plan=planned.plan, partitions=(), layout=layout), [], files=[],
        session=session, store=store, usage=tuple, damage="a partition is damaged", lapsed=lambda: False,
    )  # fmt: skip
    assert len(published.manifest.partitions) == planned.partition_count
    assert len(store.threads) == min(max_threads, os.cpu_count() or 1)
