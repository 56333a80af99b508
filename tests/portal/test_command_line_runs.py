"""Run lists include command-line runs; few manifests are read, and an unreadable manifest does not hide the others."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from quire.errors import StoreUnavailableError
from quire.object_store import Store
from quire.object_store.commit_records import MAX_LOOKUPS
from quire.object_store.memory_store import MemoryStore
from quire.object_store.s3_store import S3Store
from quire.portal.command_line_runs import CommandLineRuns
from quire.portal.manifest_cache import ManifestCache
from quire.record_types.manifest import Manifest, manifest_key
from quire.settings import StoreSettings

from tests.portal.in_process import Portal
from tests.portal.published_runs import publish_run, result_value
from tests.portal.test_runs import RUNS, airflow_run, airflow_runs
from tests.portal.unreliable_stores import ObservedStore


@pytest.fixture
def store() -> ObservedStore:
    """A store that contains a run that was not published from the command line."""
    store = ObservedStore()
    publish_run(store, "f" * 31 + "0", run_id="events__x")
    return store


def publish(store: Store, number: int) -> str:
    """Publishes a command-line run, and returns the run's ID."""
    return publish_run(store, f"{number:032x}").run_id


def list_ids(runs: CommandLineRuns, store: Store) -> list[str]:
    return [run.run_id for run in runs.list(store, "events")]


def unlisted(**limits: Any) -> CommandLineRuns:
    """Returns command-line runs whose list is not cached between calls."""
    return CommandLineRuns(listing_seconds=0, **limits)


@pytest.fixture
def portal(portal: Portal) -> Portal:
    portal.use(command_line_runs=unlisted())
    return portal


@pytest.mark.parametrize("damaged", [b"{}", b"no JSON", b'{"made_at": "2013"}'])
def test_run_list_with_a_damaged_manifest_shows_other_runs(
    portal: Portal, store: ObservedStore, damaged: bytes
) -> None:
    own = publish(store, 1)
    store.put(manifest_key("events", "f" * 32), damaged)
    airflow_runs(portal, [airflow_run(1)])
    response = portal.get(RUNS)
    assert (response.status_code, [run["run_id"] for run in response.json()]) == (200, ["ask__1", own])
    assert 'name="start"' in portal.get("/reports/events").text
    assert store.read(manifest_key("events", "f" * 32)) == damaged


def test_command_line_runs_read_a_repaired_manifest(store: ObservedStore) -> None:
    key, runs = manifest_key("events", f"{7:032x}"), unlisted()
    store.put(key, b"damaged")
    assert list_ids(runs, store) == []
    store.delete([key])
    assert list_ids(runs, store) == []
    assert publish(store, 7) in list_ids(runs, store)


def test_run_list_without_the_store_shows_airflow_runs(portal: Portal) -> None:
    settings = StoreSettings(endpoint_url="http://127.0.0.1:9", bucket="quire", access_key="x", secret_key="x")
    away = S3Store(settings)
    away.max_retries = 0
    portal.use(open_store=lambda: away)
    published = result_value()

    @portal.host.get("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value")
    def show_value(dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        return {"value": published if task_id == "publish" else []}

    airflow_runs(portal, [airflow_run(2), airflow_run(1, state="success")])
    waiting, done = portal.get(RUNS).json()
    assert (waiting["run_id"], done["run_id"]) == ("ask__2", "ask__1")
    assert done["error"].startswith("This run's files are unavailable: ")
    page = portal.get("/reports/events")
    assert (page.status_code, 'name="start"' in page.text) == (200, True)
    assert "Command-line runs are unavailable: " in page.text


def test_run_list_keeps_a_listed_run_when_the_store_fails(portal: Portal, store: ObservedStore) -> None:
    run_id = publish(store, 1)
    airflow_runs(portal, [])
    assert [run["rows"] for run in portal.get(RUNS).json()] == [6]
    portal.use(manifests=ManifestCache())

    def lose(key: str) -> None:
        raise StoreUnavailableError("the store is away")

    store.before_read = lose
    (run,) = portal.get(RUNS).json()
    assert (run["run_id"], run["error"]) == (run_id, "This run's files are unavailable: the store is away")


@pytest.fixture
def cooperative_threads() -> Iterator[None]:
    """Threads switch only while they wait: gc.get_objects breaks a tuple that another thread is building."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("cooperative_threads")
def test_command_line_runs_hold_few_manifests_in_memory(store: ObservedStore) -> None:
    ids = {publish(store, number) for number in range(100)}
    alive = list[int]()

    def count_manifests(key: str) -> None:
        if f"cli__{key.split('/')[2]}" in ids and int(key.split("/")[2], 16) % 10 == 9:
            alive.append(sum(type(value) is Manifest for value in gc.get_objects()))

    store.before_read = count_manifests
    gc.collect()
    before = sum(type(value) is Manifest for value in gc.get_objects())
    assert set(list_ids(unlisted(), store)) == ids
    assert len(alive) == 10
    assert max(alive) - before <= 2 * MAX_LOOKUPS


def test_command_line_runs_read_the_newest_manifests_first(store: ObservedStore) -> None:
    runs = unlisted(max_reads=1)
    for number in (1, 2, 3):
        publish(store, number)
    newest = publish(store, 4)
    assert list_ids(runs, store) == [newest]
    for _ in range(4):
        listed = list_ids(runs, store)
    assert (len(listed), listed[0]) == (4, newest)


def test_command_line_runs_skip_folders_without_a_valid_manifest() -> None:
    store, runs = MemoryStore(), unlisted(max_reads=2)
    own = publish(store, 16**31)
    for number in range(3):  # runs without a manifest
        store.put(f"reports/events/{number:032x}/events.xlsx", b"x")
    assert list_ids(runs, store) == [own]
    for number in range(3):  # newer than the run
        store.put(manifest_key("events", f"{number:032x}"), b"damaged")
    store.delete([manifest_key("events", f"{16**31:032x}")])
    assert own not in list_ids(runs, store)
    publish(store, 16**31)
    assert list_ids(runs, store) == [own]
