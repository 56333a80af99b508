"""With a running scheduler, partitions are stored in advance, reused, and read again after their tables change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import psycopg
import pytest
from quire.dev_stack.airflow_runs import return_value, start_run, task_states
from quire.dev_stack.stack import SOURCE_DATABASE, LocalStack
from quire.runs.leases import lease_key
from quire.runs.manifest_store import read_manifest
from quire.runs.verify import verify_run

from tests.airflow.run_results import published_value
from tests.airflow.test_scheduler import wait

DAYS = {"start": "2013-06-01", "end": "2013-06-05"}
KEYS = [f"2013-06-{day:02d}" for day in range(1, 6)]


def run(client: httpx.Client, dag_id: str = "daily", *, days: Mapping[str, str] = DAYS, fan_out: bool = True) -> str:
    run_id = start_run(client, dag_id, {**days, "fan_out": fan_out})
    assert wait(client, dag_id, run_id) == "success"
    return run_id


def indexes(client: httpx.Client, run_id: str, task_id: str, dag_id: str = "daily") -> list[int]:
    """Returns the map indexes of a task's successful instances."""
    return sorted(
        index for task, index, state in task_states(client, dag_id, run_id) if (task, state) == (task_id, "success")
    )


def extracted(client: httpx.Client, run_id: str) -> int:
    return len(indexes(client, run_id, "extract"))


def published(client: httpx.Client, run_id: str) -> dict[str, Any]:
    return published_value(client, "daily", run_id)


def execute(stack: LocalStack, sql: str) -> None:
    with psycopg.connect(stack.postgres.url(SOURCE_DATABASE), autocommit=True) as connection:
        assert connection.execute(sql).rowcount == 1


def test_store_dag_stores_partitions_with_one_event_each_and_no_workbook(
    running_stack: LocalStack, client: httpx.Client
) -> None:
    store = running_stack.s3.store()
    before = [entry.key for entry in store.list("reports/daily/")]
    run_id = run(client, "daily__store")
    assert {task for task, _, _ in task_states(client, "daily__store", run_id)} == {"plan", "extract", "release"}
    assert store.size(lease_key("daily", f"daily__store:{run_id}")) is None
    assert [entry.key for entry in store.list("reports/daily/")] == before
    answer = client.get("/assets/events", params={"source_dag_id": "daily__store"}).raise_for_status().json()
    events = [event for event in answer["asset_events"] if event["source_run_id"] == run_id]
    assert sorted(event["partition_key"] for event in events) == KEYS
    assert {event["extra"]["report"] for event in events} == {"daily"}


def test_first_run_extracts_nothing_and_second_is_already_published(
    running_stack: LocalStack, client: httpx.Client
) -> None:
    first = run(client)
    assert (extracted(client, first), len(indexes(client, first, "render"))) == (0, 5)
    assert not published(client, first)["reused"]
    second = run(client)
    assert (extracted(client, second), indexes(client, second, "render")) == (0, [])
    again = published(client, second)
    assert again == {**published(client, first), "reused": True, "published_at": again["published_at"]}
    assert verify_run(published(client, second)["run"], store=running_stack.s3.store()).problems == ()


def test_changed_row_extracts_one_partition_and_a_moved_row_both(
    running_stack: LocalStack, client: httpx.Client
) -> None:
    run(client)
    one = "(SELECT ctid FROM flights WHERE time_hour = '2013-06-02 10:00-04' LIMIT 1)"
    execute(running_stack, f"UPDATE flights SET distance = distance + 1 WHERE ctid = {one}")
    assert extracted(client, run(client)) == 1
    execute(
        running_stack, f"UPDATE flights SET time_hour = time_hour + interval '1 day', flight = 9999 WHERE ctid = {one}"
    )
    assert extracted(client, run(client)) == 2


@pytest.mark.parametrize("fan_out", [True, False], ids=["fan-out", "one task"])
@pytest.mark.parametrize(
    "days",
    [DAYS, pytest.param({"start": "2013-01-01", "end": "2013-12-31"}, marks=pytest.mark.slow)],
    ids=["five days", "year"],
)
def test_changed_row_renders_one_workbook_and_reuses_the_others(
    running_stack: LocalStack, client: httpx.Client, *, days: Mapping[str, str], fan_out: bool
) -> None:
    store = running_stack.s3.store()
    before = read_manifest(store, "daily", published(client, run(client, days=days, fan_out=fan_out))["run"])
    one = "(SELECT ctid FROM flights WHERE time_hour = '2013-06-03 10:00-04' LIMIT 1)"
    execute(running_stack, f"UPDATE flights SET distance = distance + 1 WHERE ctid = {one}")
    after = read_manifest(store, "daily", published(client, run(client, days=days, fan_out=fan_out))["run"])
    assert [part.key for part in after.partitions if not part.stored] == ["2013-06-03"]
    changed = {"daily_2013-06-03.xlsx", f"daily_{days['start']}_{days['end']}_summary.xlsx"}
    keys = {file.name: file.key for file in before.files}
    assert {file.name for file in after.files if file.key != keys[file.name]} == changed
    assert [file.name for file in after.files] == [file.name for file in before.files]
    assert verify_run(after.run, store=store).problems == ()


def test_housekeeping_returns_what_it_deleted(client: httpx.Client) -> None:
    run_id = start_run(client, "quire__housekeeping", {})
    assert wait(client, "quire__housekeeping", run_id) == "success"
    result = return_value(client, "quire__housekeeping", run_id, task_id="collect")
    assert (result["runs"], result["objects"]) == (0, 0)
    assert "flights" not in result["active"]  # the report's earlier runs have released their leases
