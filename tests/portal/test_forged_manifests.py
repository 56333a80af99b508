"""Tests the pages for a run whose manifest was forged by someone with write access to the bucket."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from quire.object_store.commit_records import MANIFEST_LIMITS, write_once
from quire.portal.command_line_runs import MAX_READERS, CommandLineRuns
from quire.portal.manifest_cache import ManifestCache
from quire.portal.run_contents import MAX_WARNINGS
from quire.record_types.manifest import Manifest, manifest_key

from tests.portal.in_process import Portal
from tests.portal.published_runs import manifest_of_run
from tests.portal.test_runs import RUNS, airflow_runs
from tests.portal.unreliable_stores import ObservedStore

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
def manifest() -> Manifest:
    """The manifest for an unpublished command-line run."""
    return manifest_of_run(RUN)


@pytest.fixture
def store() -> ObservedStore:
    return ObservedStore()


@pytest.fixture
def portal(portal: Portal) -> Portal:
    airflow_runs(portal, [])
    return portal


@pytest.mark.parametrize("forged", FORGED)
def test_report_page_with_a_forged_manifest_is_shown(
    portal: Portal, manifest: Manifest, store: ObservedStore, forged: str
) -> None:
    assert write_once(store, manifest_key("events", RUN), FORGED[forged](manifest))
    assert portal.get("/reports/events").status_code == 200
    assert portal.get(RUNS).json() == []
    assert portal.get(f"/reports/events/runs/cli__{RUN}").status_code in (404, 502, 503)


def test_run_page_with_a_valid_manifest_is_shown(portal: Portal, manifest: Manifest, store: ObservedStore) -> None:
    assert write_once(store, manifest_key("events", RUN), manifest)
    assert [run["run_id"] for run in portal.get(RUNS).json()] == [f"cli__{RUN}"]
    assert portal.get(f"/reports/events/runs/cli__{RUN}").status_code == 200


def test_run_page_with_many_warnings_shows_the_first(portal: Portal, manifest: Manifest, store: ObservedStore) -> None:
    forged = replace(manifest, warnings=("w" * 10_000, *("<b>x</b>",) * 20_000))
    assert write_once(store, manifest_key("events", RUN), forged)
    page = portal.get(f"/reports/events/runs/cli__{RUN}")
    assert page.status_code == 200
    assert len(page.text) < 200_000
    assert "19,901 more warnings" in page.text
    (run,) = portal.get(RUNS).json()
    assert len(run["warnings"]) == MAX_WARNINGS + 1


def test_report_page_with_a_deeply_nested_manifest_is_shown(
    portal: Portal, manifest: Manifest, store: ObservedStore
) -> None:
    store.put(manifest_key("events", RUN), b"[" * 200_000)
    assert portal.get("/reports/events").status_code == 200
    assert portal.get(RUNS).json() == []


@pytest.mark.parametrize(("spare", "listed"), [(0, [f"cli__{RUN}"]), (-1, [])])
def test_run_list_skips_a_manifest_over_the_size_limit(
    portal: Portal, manifest: Manifest, store: ObservedStore, spare: int, listed: list[str]
) -> None:
    assert write_once(store, manifest_key("events", RUN), manifest)
    size = store.size(manifest_key("events", RUN)) or 0
    limits = replace(MANIFEST_LIMITS, max_bytes=size + spare)
    portal.use(command_line_runs=CommandLineRuns(limits=limits), manifests=ManifestCache(limits=limits))
    assert [run["run_id"] for run in portal.get(RUNS).json()] == listed


def test_run_list_reads_few_manifests_concurrently(portal: Portal, store: ObservedStore) -> None:
    for digit in "0123456789ab":
        store.put(manifest_key("events", digit * 32), b"{}")
    lock, reading, peaks = threading.Lock(), [0], [0]
    full = threading.Barrier(MAX_READERS)

    def count(key: str) -> None:
        with lock:
            reading[0] += 1
            peaks.append(reading[0])
        full.wait(60)
        with lock:
            reading[0] -= 1

    store.before_read = count
    assert portal.get(RUNS).json() == []
    assert max(peaks) == MAX_READERS
