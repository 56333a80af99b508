"""Workers die or are cut off in the middle of a render, a stack is stopped: nothing is lost or doubled."""

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
    """A run that was published."""

    run: str
    keys: frozenset[str]
    cells: dict[str, str]


@pytest.fixture(scope="module")
def undisturbed(stack: ContainerStack) -> Published:
    """What the report gives where nothing happens to it."""
    with stack.client() as client:
        return published(stack, stack.finish(client, "many", stack.trigger(client, "many", **DAYS)))


def published(stack: ContainerStack, told: dict[str, Any]) -> Published:
    store = stack.store()
    files = [file for file in told["files"] if file["rows"]]
    assert sum(file["rows"] for file in files) == 336_776 * TIMES
    cells: dict[str, str] = {}
    for file in files:
        body = store.read(file["key"], max_bytes=file["bytes"])
        assert body is not None
        cells |= digests_of_cells(body)
    assert len(cells) > 2  # two sheets or more, since no sheet has room for all rows, and the strings
    return Published(run=told["run"], keys=frozenset(file["key"] for file in told["files"]), cells=cells)


def run_through(
    stack: ContainerStack, happen: Callable[[str], object]
) -> tuple[Published, list[dict[str, Any]], set[str], str]:
    """Runs the report anew; once its file is half uploaded, something happens to the worker's container."""
    before, known = stack.objects("many"), stack.uploads("many")
    with stack.client() as client:
        run_id = stack.trigger(client, "many", **DAYS, force=True)
        name = stack.host_of_upload(client, "many", run_id, known=known)
        happen(stack.containers_by_hostname()[name])
        told = stack.finish(client, "many", run_id)
        tasks = stack.tasks(client, "many", run_id)
    return published(stack, told), tasks, stack.objects("many") - before, name


def assert_made_again_elsewhere(tasks: list[dict[str, Any]], name: str) -> None:
    (render,) = (task for task in tasks if task["task_id"] == "render")
    assert render["try_number"] == 2
    assert render["hostname"] != name


def assert_published_once(found: Published, new: set[str], undisturbed: Published) -> None:
    assert found.run != undisturbed.run
    assert found.cells == undisturbed.cells
    manifests = {key for key in new if key.endswith("/manifest.json")}
    assert len(manifests) == 1
    assert new == {*found.keys, *manifests}  # what was half written is no object


def test_killed_worker_loses_nothing_and_doubles_nothing(stack: ContainerStack, undisturbed: Published) -> None:
    found, tasks, new, name = run_through(stack, lambda container: docker("kill", container))
    try:
        assert_made_again_elsewhere(tasks, name)
        assert_published_once(found, new, undisturbed)
    finally:
        stack.project.compose("up", "--detach", "--no-recreate", "--scale", f"airflow-worker={WORKERS}")
        stack.wait_until_ready(workers=WORKERS)


def test_worker_that_was_cut_off_comes_back_and_doubles_nothing(stack: ContainerStack, undisturbed: Published) -> None:
    cut: list[str] = []

    def cut_off(container: str) -> None:
        docker("network", "disconnect", stack.project.network, container)
        cut.append(container)

    try:
        found, tasks, new, name = run_through(stack, cut_off)
        after = stack.objects("many")
    finally:
        for container in cut:
            docker("network", "connect", stack.project.network, container)
    assert_made_again_elsewhere(tasks, name)
    assert_published_once(found, new, undisturbed)
    stack.wait_until_ready(workers=WORKERS)
    assert stack.objects("many") == after  # nor does it once the worker is back
    takes_tasks(stack, name)


def takes_tasks(stack: ContainerStack, name: str) -> None:
    """Asks for runs until the worker that was away has done a part of one."""

    def done() -> bool:
        with stack.client() as client:
            run_id = stack.trigger(client, "flights", start="2013-01-01", end="2013-12-31", force=True)
            stack.finish(client, "flights", run_id)
            return name in {task["hostname"] for task in stack.tasks(client, "flights", run_id)}

    assert done() or done()


def test_stack_that_was_stopped_keeps_runs_links_and_data(stack: ContainerStack, undisturbed: Published) -> None:
    with stack.client() as client:
        before = client.get("/quire/api/reports/many/runs").raise_for_status().json()
        addresses = addresses_of(client, before)
    stack.project.compose("--profile", "demo", "down", "--timeout", "30")  # the containers go, the volumes stay
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
    found = []
    for run in runs:
        files = client.get(f"/quire/api/reports/many/runs/{run['run_id']}/files").raise_for_status().json()
        found += [file["url"] for file in files]
    assert found
    return found
