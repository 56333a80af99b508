"""Publishes runs for the events report without reading from a source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from quire.object_store import Store
from quire.object_store.commit_records import write_once
from quire.record_types.manifest import Manifest, manifest_key
from quire.record_types.run_result import RunResult
from quire.record_types.serialization import to_json
from quire.record_types.stage_records import RenderedFile, TaskUsage

from tests.events import MADE_AT, ZONE

START, END = date(2013, 1, 1), date(2013, 3, 31)
PUBLISHED_AT = datetime(2026, 1, 1, tzinfo=UTC)
USAGE = TaskUsage(
    stage="extract", task="2013-01", units=1, rows=6, bytes=100, seconds=0.5, cpu_seconds=0.25, peak_rss_bytes=1_000_000
)
ONE_FILE = {"events_2013.csv": b"at,kind\r\n" + b"2013-01-01,a\r\n" * 6}


def manifest_of_run(run: str = "a" * 32, *, files: Mapping[str, bytes] = ONE_FILE, **changes: Any) -> Manifest:
    """Returns the manifest for a command-line run that is not published."""
    rendered = tuple(
        RenderedFile(
            name=name, key=f"reports/events/{run}/{name}", rows=6, bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(), start=START, end=END,
        )
        for name, body in files.items()
    )  # fmt: skip
    fields = {
        "report": "events", "run": run, "run_id": f"cli__{run}", "title": "Events", "made_at": MADE_AT, "start": START,
        "end": END, "timezone": ZONE, "parameters": {}, "rows": 6 * len(files), "partitions": (), "summaries": (),
        "files": rendered, "usage": (USAGE,),
    }  # fmt: skip
    return Manifest(**{**fields, **changes})


def result_value(run: str = "a" * 32, **changes: Any) -> dict[str, Any]:
    """Returns the value that the task which published a run returns, with some fields changed."""
    result = RunResult(report="events", run=run, reused=False, rows=6, files=(), published_at=PUBLISHED_AT)
    return {**to_json(result), **changes}


def publish_run(
    store: Store, run: str = "a" * 32, *, files: Mapping[str, bytes] = ONE_FILE, **changes: Any
) -> Manifest:
    """Stores a command-line run's files and manifest, and returns the manifest."""
    manifest = manifest_of_run(run, files=files, **changes)
    for file in manifest.files:
        store.put(file.key, files[file.name])
    assert write_once(store, manifest_key("events", run), manifest)
    return manifest
