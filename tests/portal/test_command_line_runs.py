"""Command-line runs in run lists: which manifests are read, and the effect of an unreadable manifest."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quire.errors import StoreUnavailableError
from quire.object_store.commit_records import MAX_LOOKUPS, write_once
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.portal import command_line_runs as module
from quire.portal.command_line_runs import command_line_runs
from quire.portal.manifest_cache import _CACHE
from quire.report.definition import ReportDefinition
from quire.run_records.manifest import Manifest, manifest_key
from quire.runs.manifest_store import load_manifest

from tests.events import events_report, fill_events, request_of, session_of
from tests.portal.in_process import Portal, open_portal
from tests.portal.test_runs import RUNS, airflow_run, airflow_runs


@pytest.fixture
def definition(tmp_path: Path) -> ReportDefinition:
    return events_report(tmp_path)


@pytest.fixture
def manifest(definition: ReportDefinition, bucket: S3Store, fresh_database: str) -> Manifest:
    """Returns the manifest of a run that was not published from the command line."""
    fill_events(fresh_database)
    request = request_of(definition, run_id="events__x")
    return run_report(definition, request, session=session_of(fresh_database), store=bucket).published.manifest


def publish(manifest: Manifest, store: S3Store, number: int) -> str:
    """Publishes the same run under a new key and a command-line run ID; returns the ID."""
    key = f"{number:032x}"
    files = tuple(replace(file, key=file.key.replace(manifest.run, key)) for file in manifest.files)
    run = replace(manifest, run=key, run_id=f"cli__{key}", files=files)
    assert write_once(store, manifest_key(run.report, run.run), run)
    return run.run_id


def list_now(store: S3Store) -> list[str]:
    """Returns the IDs of the runs, without the cache."""
    module._LISTINGS.clear()
    return [run.run_id for run in command_line_runs(store, "events")]


def open_reader(monkeypatch: pytest.MonkeyPatch, include: Path, store: S3Store) -> Portal:
    module._LISTINGS.clear()
    monkeypatch.setenv("QUIRE_INCLUDE", str(include))
    return open_portal(monkeypatch, lambda: store)


@pytest.mark.parametrize("damaged", [b"{}", b"no JSON", b'{"made_at": "2013"}'])
def test_run_list_with_a_damaged_manifest_shows_other_runs(
    manifest: Manifest, bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bytes
) -> None:
    own = publish(manifest, bucket, 1)
    bucket.put(manifest_key("events", "f" * 32), damaged)
    portal = open_reader(monkeypatch, tmp_path, bucket)
    airflow_runs(portal, [airflow_run(1)])
    response = portal.get(RUNS)
    assert (response.status_code, [run["run_id"] for run in response.json()]) == (200, ["ask__1", own])
    assert 'name="start"' in portal.get("/reports/events").text
    assert bucket.read(manifest_key("events", "f" * 32)) == damaged


def test_command_line_runs_read_a_repaired_manifest(manifest: Manifest, bucket: S3Store) -> None:
    key = manifest_key("events", f"{7:032x}")
    bucket.put(key, b"damaged")
    assert list_now(bucket) == []
    bucket.delete([key])
    time.sleep(1.1)  # the store's modification times have a resolution of one second
    assert list_now(bucket) == []
    assert publish(manifest, bucket, 7) in list_now(bucket)


def test_run_list_without_the_store_shows_airflow_runs(
    definition: ReportDefinition, bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = S3Store(replace(bucket.settings, endpoint_url="http://127.0.0.1:9"))
    portal = open_reader(monkeypatch, tmp_path, away)
    published = {"run": "a" * 32, "reused": False, "published_at": None}

    @portal.host.get("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/publish/xcomEntries/return_value")
    def show_value(dag_id: str, run_id: str) -> dict[str, Any]:
        return {"value": published}

    airflow_runs(portal, [airflow_run(2), airflow_run(1, state="success")])
    waiting, done = portal.get(RUNS).json()
    assert (waiting["run_id"], done["run_id"]) == ("ask__2", "ask__1")
    assert done["error"].startswith("The files of this run are unavailable: ")
    page = portal.get("/reports/events")
    assert (page.status_code, 'name="start"' in page.text) == (200, True)
    assert "Command-line runs are unavailable: " in page.text


def test_run_list_keeps_a_listed_run_when_the_store_fails(
    manifest: Manifest, bucket: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = publish(manifest, bucket, 1)
    portal = open_reader(monkeypatch, tmp_path, bucket)
    airflow_runs(portal, [])
    assert [run["rows"] for run in portal.get(RUNS).json()] == [manifest.rows]
    _CACHE.clear()

    def lose(key: str, **limits: int) -> bytes | None:
        raise StoreUnavailableError("the store is away")

    monkeypatch.setattr(bucket, "read", lose)
    (run,) = portal.get(RUNS).json()
    assert (run["run_id"], run["error"]) == (run_id, "The files of this run are unavailable: the store is away")


def test_command_line_runs_hold_few_manifests_in_memory(
    manifest: Manifest, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {publish(manifest, bucket, number) for number in range(100)}
    alive = list[int]()

    def counted(store: S3Store, key: str) -> Manifest | None:
        record = load_manifest(store, key)
        if f"cli__{key.split('/')[2]}" in ids and int(key.split("/")[2], 16) % 10 == 9:
            alive.append(sum(type(value) is Manifest for value in gc.get_objects()))
        return record

    monkeypatch.setattr(module, "load_manifest", counted)
    gc.collect()
    before = sum(type(value) is Manifest for value in gc.get_objects())
    assert set(list_now(bucket)) == ids
    assert len(alive) == 10
    assert max(alive) - before <= 2 * MAX_LOOKUPS


def test_command_line_runs_read_the_newest_manifests_first(
    manifest: Manifest, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_READ", 1)
    for number in (1, 2, 3):
        publish(manifest, bucket, number)
    time.sleep(1.1)  # the store's modification times have a resolution of one second
    newest = publish(manifest, bucket, 4)
    assert list_now(bucket) == [newest]
    for _ in range(4):
        listed = list_now(bucket)
    assert (len(listed), listed[0]) == (4, newest)


def test_command_line_runs_skip_folders_without_a_valid_manifest(
    manifest: Manifest, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_READ", 2)
    own = publish(manifest, bucket, 16**31)
    bucket.delete([manifest_key("events", manifest.run)])
    for number in range(3):  # runs without a manifest
        bucket.put(f"reports/events/{number:032x}/events.xlsx", b"x")
    assert list_now(bucket) == [own]
    time.sleep(1.1)
    for number in range(3):  # newer than the run
        bucket.put(manifest_key("events", f"{number:032x}"), b"damaged")
    bucket.delete([manifest_key("events", f"{16**31:032x}")])
    assert own not in list_now(bucket)
    publish(manifest, bucket, 16**31)
    assert list_now(bucket) == [own]
