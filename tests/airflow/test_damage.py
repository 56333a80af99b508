"""With a running scheduler, a run replaces a damaged partition, and a failed run has no lease."""

from __future__ import annotations

from typing import Any

import httpx
from quire.dev_stack.airflow_runs import start_run, task_states
from quire.dev_stack.stack import LocalStack
from quire.object_store.s3_store import S3Store
from quire.runs.leases import lease_key
from quire.runs.manifest_store import read_manifest
from quire.runs.verify import verify_run

from tests.airflow.run_results import published_value
from tests.airflow.test_scheduler import task_log, wait

DAYS = {"start": "2013-08-01", "end": "2013-08-03", "formats": ["csv"], "fan_out": True}


def publish(client: httpx.Client, conf: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    run_id = start_run(client, "daily", conf)
    assert wait(client, "daily", run_id) == "success"
    published = published_value(client, "daily", run_id)
    return run_id, published


def flip_bit(store: S3Store, key: str) -> None:
    body = store.read(key) or b""
    middle = len(body) // 2
    store.put(key, body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :])


def csv_bodies(store: S3Store, published: dict[str, Any]) -> list[bytes | None]:
    return [store.read(file["key"]) for file in published["files"] if file["name"].endswith(".csv")]


def test_run_over_a_damaged_partition_replaces_it_and_succeeds(running_stack: LocalStack, client: httpx.Client) -> None:
    store = running_stack.s3.store()
    _, first = publish(client, DAYS)
    rows = read_manifest(store, "daily", first["run"]).partitions[1].object_key
    flip_bit(store, rows)
    # so that the next run renders the files again
    store.delete([f"reports/daily/{first['run']}/manifest.json"])
    store.delete([entry.key for entry in store.list("workbooks/daily/") if entry.key.endswith(".json")])
    run_id, again = publish(client, DAYS)
    assert again["rows"] == first["rows"]
    assert csv_bodies(store, again) == csv_bodies(store, first)
    assert verify_run(again["run"], store=store).problems == ()
    assert read_manifest(store, "daily", again["run"]).partitions[1].object_key != rows
    assert "publish will run all stages again" in task_log(running_stack, "daily", run_id, "aggregate")
    states = {task: state for task, _, state in task_states(client, "daily", run_id)}
    assert {state for task, state in states.items() if task not in ("extract", "render")} == {"success"}
    assert (states["extract"], states["render"]) == ("skipped", "success")  # all partitions are cached
    assert store.size(lease_key("daily", f"daily:{run_id}")) is None  # other runs may have leases


def test_failed_run_has_no_lease(running_stack: LocalStack, client: httpx.Client) -> None:
    run_id = start_run(client, "dividing", {"start": "2013-06-02", "end": "2013-06-02"})  # a division by zero
    assert wait(client, "dividing", run_id) == "failed"
    assert not [entry.key for entry in running_stack.s3.store().list("leases/dividing/")]
