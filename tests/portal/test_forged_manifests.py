"""Pages of a run whose manifest was forged by someone with write access to the bucket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from quire.object_store.commit_records import MANIFEST_LIMITS, write_once
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.portal.run_contents import MAX_WARNINGS
from quire.run_records.manifest import Manifest, manifest_key
from quire.runs import manifest_store

from tests.events import events_report, fill_events, request_of, session_of
from tests.portal.in_process import Portal
from tests.portal.test_command_line_runs import open_reader
from tests.portal.test_runs import RUNS, airflow_runs

RUN = "c" * 32


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def with_files(**changes: Any) -> Callable[[Manifest], Manifest]:
    return lambda run: replace(run, files=tuple(replace(file, **changes) for file in run.files))


def with_usage(**changes: Any) -> Callable[[Manifest], Manifest]:
    return lambda run: replace(run, usage=tuple(replace(usage, **changes) for usage in run.usage))


FORGED: dict[str, Callable[[Manifest], Manifest]] = {
    "last day of all": lambda run: replace(run, start=date(9999, 12, 1), end=date.max),
    "end before its start": lambda run: replace(run, start=date(2013, 2, 1), end=date(2013, 1, 1)),
    "file's last day": with_files(end=date.max),
    "file's rows": with_files(rows=10**400),
    "usage": with_usage(peak_rss_bytes=10**400),
    "infinite usage": with_usage(seconds=1e308),
    "NaN in usage": with_usage(cpu_seconds=float("nan")),
    "deep parameter": lambda run: replace(run, parameters={"kind": nested(300)}),
    "long parameter": lambda run: replace(run, parameters={"kind": "x" * 200_000}),
    "NaN as a parameter": lambda run: replace(run, parameters={"kind": float("nan")}),
}


@pytest.fixture
def manifest(tmp_path: Path, bucket: S3Store, fresh_database: str) -> Manifest:
    """Returns the manifest of an unpublished run that has the ID of a command-line run."""
    fill_events(fresh_database)
    definition = events_report(tmp_path)
    request = replace(request_of(definition), formats=("csv",))
    run = run_report(definition, request, session=session_of(fresh_database), store=bucket).published.manifest
    bucket.delete([manifest_key(run.report, run.run)])
    files = tuple(replace(file, key=file.key.replace(run.run, RUN)) for file in run.files)
    return replace(run, run=RUN, run_id=f"cli__{RUN}", files=files)


@pytest.fixture
def portal(tmp_path: Path, bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> Portal:
    portal = open_reader(monkeypatch, tmp_path, bucket)
    airflow_runs(portal, [])
    return portal


@pytest.mark.parametrize("forged", FORGED)
def test_report_page_with_a_forged_manifest_is_shown(
    portal: Portal, manifest: Manifest, bucket: S3Store, forged: str
) -> None:
    assert write_once(bucket, manifest_key("events", RUN), FORGED[forged](manifest))
    assert portal.get("/reports/events").status_code == 200
    assert portal.get(RUNS).json() == []
    assert portal.get(f"/reports/events/runs/cli__{RUN}").status_code in (404, 502, 503)


def test_run_page_with_a_valid_manifest_is_shown(portal: Portal, manifest: Manifest, bucket: S3Store) -> None:
    assert write_once(bucket, manifest_key("events", RUN), manifest)
    assert [run["run_id"] for run in portal.get(RUNS).json()] == [f"cli__{RUN}"]
    assert portal.get(f"/reports/events/runs/cli__{RUN}").status_code == 200


def test_run_page_with_many_warnings_shows_the_first(portal: Portal, manifest: Manifest, bucket: S3Store) -> None:
    forged = replace(manifest, warnings=("w" * 10_000, *("<b>x</b>",) * 20_000))
    assert write_once(bucket, manifest_key("events", RUN), forged)
    page = portal.get(f"/reports/events/runs/cli__{RUN}")
    assert page.status_code == 200
    assert len(page.text) < 200_000
    assert "19,901 more warnings" in page.text
    (run,) = portal.get(RUNS).json()
    assert len(run["warnings"]) == MAX_WARNINGS + 1


def test_report_page_with_a_deeply_nested_manifest_is_shown(
    portal: Portal, manifest: Manifest, bucket: S3Store
) -> None:
    bucket.put(manifest_key("events", RUN), b"[" * 200_000)
    assert portal.get("/reports/events").status_code == 200
    assert portal.get(RUNS).json() == []


@pytest.mark.parametrize(("spare", "listed"), [(0, [f"cli__{RUN}"]), (-1, [])])
def test_run_list_skips_a_manifest_over_the_size_limit(
    portal: Portal,
    manifest: Manifest,
    bucket: S3Store,
    monkeypatch: pytest.MonkeyPatch,
    spare: int,
    listed: list[str],
) -> None:
    assert write_once(bucket, manifest_key("events", RUN), manifest)
    size = bucket.size(manifest_key("events", RUN)) or 0
    limits = replace(MANIFEST_LIMITS, max_bytes=size + spare)
    monkeypatch.setattr(manifest_store, "MANIFEST_LIMITS", limits)
    assert [run["run_id"] for run in portal.get(RUNS).json()] == listed


def test_run_list_reads_few_manifests_concurrently(
    portal: Portal, manifest: Manifest, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for digit in "0123456789ab":
        bucket.put(manifest_key("events", digit * 32), b"{}")
    lock, reading, peaks = threading.Lock(), [0], [0]
    read = bucket.read

    def count(key: str, **limits: int) -> bytes | None:
        with lock:
            reading[0] += 1
            peaks.append(reading[0])
        time.sleep(0.05)  # long enough for all threads to start
        with lock:
            reading[0] -= 1
        return read(key, **limits)

    monkeypatch.setattr(bucket, "read", count)
    assert portal.get(RUNS).json() == []
    assert 1 < max(peaks) <= 4
