"""Runs the flights report through Airflow, prints the links to its files, and copies the files to out/."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quire.dev_stack.airflow_runs import fail_run, is_paused, return_value, run_state, start_run, task_states
from quire.dev_stack.run_failures import describe_failure
from quire.dev_stack.signals import defer_stop_signals
from quire.dev_stack.stack import LocalStack
from quire.errors import StackError
from quire.human_readable import format_count, format_size
from quire.report.catalog import find_definition
from quire.settings import CLONE, include_folder

REPORT = "flights"
YEAR = {"start": "2013-01-01", "end": "2013-12-31"}
STAGES = ("plan", "extract", "layout", "aggregate", "render", "publish")
FINAL_STATES = ("success", "failed")
POLL_INTERVAL = 1.0  # seconds


def run_demo(stack: LocalStack, out: Path, *, request: Mapping[str, str] = YEAR, say: Callable[[str], None]) -> None:
    """Runs the report through Airflow's API, prints the links to its files, and downloads the files.

    Args:
        stack: a running stack.
        out: the folder for the files, which this function creates if necessary.
        request: the first day as ``start``, the last day as ``end``, and report parameters.
        say: a function that prints a line for the user.

    Raises:
        StackError: the run failed or a link does not work.
    """
    with stack.airflow.client() as client:
        if is_paused(client, REPORT):
            raise StackError(f"the {REPORT} DAG is paused: unpause it at {stack.airflow.url}")
        run_id = start_run(client, REPORT, {**request, "fan_out": True})
        say(f"run {run_id} of the {REPORT} report, {request['start']} to {request['end']}")
        say("each stage runs as a separate task here; the portal runs a range of this size as a single task")
        with _stop_on_interrupt(client, run_id), _progress(say) as show:
            state = _wait_for_run(stack, client, run_id, show=show)
        if state != "success":
            raise StackError(describe_failure(client, stack.airflow, dag_id=REPORT, run_id=run_id))
        published = return_value(client, REPORT, run_id, task_id="publish")
    definition = find_definition(include_folder(), REPORT)
    seconds = int(definition.delivery.link_ttl.total_seconds())
    store = stack.s3.store()
    out.mkdir(parents=True, exist_ok=True)
    for file in published["files"]:
        link = store.presign(file["key"], seconds=seconds, filename=file["name"])
        _download(link, out / file["name"], size=file["bytes"])
        say(f"\n{_describe(file)}\n{link}")
    say(f"\n{len(published['files'])} files, {published['rows']:,} rows; copies are in {_relative(out)}/")


def _wait_for_run(
    stack: LocalStack, client: httpx.Client, run_id: str, *, show: Callable[[str, int, int], None]
) -> str:
    while True:
        stack.airflow.ensure_running()  # if the scheduler has exited, the run never ends
        state = run_state(client, REPORT, run_id)
        states = task_states(client, REPORT, run_id)
        for stage in STAGES:
            stage_states = [task_state for task, _, task_state in states if task == stage]
            show(stage, sum(task_state in ("success", "skipped") for task_state in stage_states), len(stage_states))
        if state in FINAL_STATES:
            return state
        time.sleep(POLL_INTERVAL)


@contextmanager
def _progress(say: Callable[[str], None]) -> Iterator[Callable[[str, int, int], None]]:
    """Shows each stage's progress: as a bar on a terminal, otherwise as one line when the stage has finished."""
    console = Console(stderr=True)
    if not console.is_terminal:
        finished: set[str] = set()

        def report(stage: str, done: int, total: int) -> None:
            if total and done == total and stage not in finished:
                finished.add(stage)
                say(f"{stage}: {total} of {total}")

        yield report
        return
    with Progress(
        TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as bars:
        tasks = {stage: bars.add_task(stage, total=1) for stage in STAGES}
        yield lambda stage, done, total: bars.update(tasks[stage], completed=done, total=total or 1)


@contextmanager
def _stop_on_interrupt(client: httpx.Client, run_id: str) -> Iterator[None]:
    """Stops the run if the demo is interrupted, because the run would continue in a stack that the demo has joined."""
    try:
        yield
    except KeyboardInterrupt:
        with defer_stop_signals():
            try:
                fail_run(client, REPORT, run_id)
            except StackError as error:
                print(f"quire: {error}; the run continues", file=sys.stderr)
        raise


def _download(link: str, path: Path, *, size: int) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with httpx.stream("GET", link, timeout=60, trust_env=False) as response, part.open("wb") as file:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                file.write(chunk)
        if part.stat().st_size != size:
            raise StackError(f"{path.name} has {part.stat().st_size:,} bytes, but {size:,} were stored")
        part.replace(path)
    except httpx.HTTPError as error:
        raise StackError(f"the link to {path.name} does not work: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _describe(file: Mapping[str, Any]) -> str:
    rows = format_count(file["rows"], "row") if file["rows"] else ""  # the summary workbook has no detail rows
    return "  ".join(filter(None, [file["name"], rows, format_size(file["bytes"])]))


def _relative(path: Path) -> Any:
    return path.relative_to(CLONE) if path.is_relative_to(CLONE) else path
