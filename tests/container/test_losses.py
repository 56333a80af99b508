"""No data is lost or duplicated if a worker is killed or disconnected while it renders, or if the stack restarts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.container.conftest import TIMES, WORKERS
from tests.container.engine import docker
from tests.container.stack import ContainerStack, digests_of_cells

pytestmark = pytest.mark.container
DAYS = {"start": "2013-01-01", "end": "2013-12-31"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A published run."""

    run: str
    keys: frozenset[str]
    cells: dict[str, str]


@pytest.fixture(scope="module")
def undisturbed(stack: ContainerStack) -> Published:
    """An undisturbed run of the report."""
    with stack.client() as client:
        return published(stack, stack.finish(client, "many", stack.trigger(client, "many", **DAYS)))


def published(stack: ContainerStack, result: dict[str, Any]) -> Published:
    store = stack.store()
    files = [file for file in result["files"] if file["rows"]]
    assert sum(file["rows"] for file in files) == 336_776 * TIMES
    cells: dict[str, str] = {}
    for file in files:
        body = store.read(file["key"], max_bytes=file["bytes"])
        assert body is not None
        cells |= digests_of_cells(body)
    assert len(cells) > 2  # the shared strings, and at least two sheets, because one sheet cannot hold all the rows
    return Published(run=result["run"], keys=frozenset(file["key"] for file in result["files"]), cells=cells)


def run_through(
    stack: ContainerStack, disturb: Callable[[str], object], *, report: str = "many", task_id: str = "render"
) -> tuple[Published, list[dict[str, Any]], set[str], str]:
    """Runs a report; while a worker is uploading the file, calls ``disturb`` with the worker's container.

    Args:
        stack: the stack.
        disturb: called with the container.
        report: the report.
        task_id: the task that uploads the file.
    """
    before, ignored = stack.objects(report), stack.uploads(report)
    with stack.client() as client:
        run_id = stack.trigger(client, report, **DAYS, force=True)
        name = stack.host_of_upload(client, report, run_id, task_id=task_id, ignored=ignored)
        disturb(stack.containers_by_hostname()[name])
        assert stack.uploads(report) - ignored, "the worker completed the file before it was lost"
        result = stack.finish(client, report, run_id, task_id="publish" if task_id == "render" else task_id)
        tasks = stack.tasks(client, report, run_id)
    return published(stack, result), tasks, stack.objects(report) - before, name


def assert_retried_on_another_worker(tasks: list[dict[str, Any]], name: str, *, task_id: str = "render") -> None:
    (retried,) = (task for task in tasks if task["task_id"] == task_id)
    assert retried["try_number"] == 2
    assert retried["hostname"] != name


def assert_published_once(run: Published, new: set[str], undisturbed: Published) -> None:
    assert run.cells == undisturbed.cells
    manifests = {key for key in new if key.endswith("/manifest.json")}
    assert len(manifests) == 1
    assert new == {*run.keys, *manifests}  # the unfinished upload left no objects


def test_killed_worker_neither_loses_nor_duplicates_data(stack: ContainerStack, undisturbed: Published) -> None:
    run, tasks, new, name = run_through(stack, lambda container: docker("kill", container))
    try:
        assert_retried_on_another_worker(tasks, name)
        assert_published_once(run, new, undisturbed)
    finally:
        stack.project.compose("up", "--detach", "--no-recreate", "--scale", f"airflow-worker={WORKERS}")
        stack.wait_until_ready(workers=WORKERS)


def test_worker_killed_in_a_single_task_neither_loses_nor_duplicates_data(
    stack: ContainerStack, undisturbed: Published
) -> None:
    run, tasks, new, name = run_through(
        stack, lambda container: docker("kill", container), report="single_task", task_id="plan"
    )
    try:
        assert_retried_on_another_worker(tasks, name, task_id="plan")
        assert {task["state"] for task in tasks if task["task_id"] != "plan"} == {"skipped"}
        assert_published_once(run, new, undisturbed)
    finally:
        stack.project.compose("up", "--detach", "--no-recreate", "--scale", f"airflow-worker={WORKERS}")
        stack.wait_until_ready(workers=WORKERS)


def test_disconnected_worker_returns_without_duplicating_data(stack: ContainerStack, undisturbed: Published) -> None:
    disconnected: list[str] = []

    def disconnect(container: str) -> None:
        docker("network", "disconnect", stack.project.network, container)
        disconnected.append(container)

    try:
        run, tasks, new, name = run_through(stack, disconnect)
        after = stack.objects("many")
    finally:
        for container in disconnected:
            docker("network", "connect", stack.project.network, container)
    assert_retried_on_another_worker(tasks, name)
    assert_published_once(run, new, undisturbed)
    stack.wait_until_ready(workers=WORKERS)
    objects = stack.objects("many")
    assert after <= objects
    # The reconnected worker may complete its file before Airflow stops its task, but cannot publish it.
    assert [key for key in objects - after if not key.endswith(".xlsx")] == []
    assert_takes_tasks(stack, name)


def assert_takes_tasks(stack: ContainerStack, name: str) -> None:
    """Asserts that the worker executes a task in one of up to two new runs."""

    def done() -> bool:
        with stack.client() as client:
            run_id = stack.trigger(client, "flights", **DAYS, force=True, fan_out=True)
            stack.finish(client, "flights", run_id)
            return name in {task["hostname"] for task in stack.tasks(client, "flights", run_id)}

    assert done() or done()


def test_restarted_stack_keeps_runs_links_and_data(stack: ContainerStack, undisturbed: Published) -> None:
    with stack.client() as client:
        before = client.get("/quire/api/reports/many/runs").raise_for_status().json()
        addresses = addresses_of(client, before)
    stack.project.compose("--profile", "demo", "down", "--timeout", "30")  # removes the containers but not the volumes
    assert stack.project.containers("airflow-worker", every=True) == []
    stack.project.compose("--profile", "demo", "up", "--detach", "--scale", f"airflow-worker={WORKERS}")
    stack.wait_until_ready(workers=WORKERS)
    with stack.client() as client:
        after = client.get("/quire/api/reports/many/runs").raise_for_status().json()
        assert [run["run_id"] for run in after] == [run["run_id"] for run in before]
        for address in addresses:
            link = client.get(address)
            with httpx.stream("GET", link.headers["location"], timeout=60) as answer:
                assert answer.status_code == 200
        again = stack.finish(client, "many", stack.trigger(client, "many", **DAYS))
    assert again["rows"] == 336_776 * TIMES


def addresses_of(client: httpx.Client, runs: list[dict[str, Any]]) -> list[str]:
    addresses = []
    for run in runs:
        files = client.get(f"/quire/api/reports/many/runs/{run['run_id']}/files").raise_for_status().json()
        addresses += [file["url"] for file in files]
    assert addresses
    return addresses
