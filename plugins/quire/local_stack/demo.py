"""The whole way once: database, storage, Airflow, the flights report, links, and the files in out/."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quire.errors import StackError
from quire.formatting import format_count, format_size
from quire.local_stack.airflow_servers import fail_run, is_paused, returned, run_state, task_states, trigger
from quire.local_stack.run_failures import describe_failure
from quire.local_stack.signals import uninterrupted
from quire.local_stack.stack import LocalStack
from quire.report.catalog import find_definition
from quire.settings import CLONE, include_folder

REPORT = "flights"
DAYS = {"start": "2013-01-01", "end": "2013-12-31"}
STAGES = ("plan", "extract", "aggregate", "layout", "render", "publish")
ENDED = ("success", "failed")
SECONDS_BETWEEN_LOOKS = 1.0


def run_demo(stack: LocalStack, out: Path, *, say: Callable[[str], None]) -> None:
    """Runs the report through Airflow's API, prints its files with their links, and downloads them.

    Args:
        stack: started.
        out: where the files go.
        say: called with each line for the user.

    Raises:
        StackError: the run failed, or a link does not work.
    """
    with stack.airflow.client() as client:
        if is_paused(client, REPORT):
            raise StackError(f"the DAG {REPORT} is paused: unpause it at {stack.airflow.url}")
        run_id = trigger(client, REPORT, DAYS)
        say(f"run {run_id} of the report {REPORT}, {DAYS['start']} to {DAYS['end']}")
        with _ended_on_interrupt(client, run_id), _progress(say) as show:
            state = _follow(stack, client, run_id, show)
        if state != "success":
            raise StackError(describe_failure(client, stack.airflow, dag_id=REPORT, run_id=run_id))
        published = returned(client, REPORT, run_id, "publish")
    definition = find_definition(include_folder(), REPORT)
    seconds = int(definition.delivery.link_ttl.total_seconds())
    store = stack.s3.store()
    out.mkdir(parents=True, exist_ok=True)
    for file in published["files"]:
        link = store.presign(file["key"], seconds=seconds, filename=file["name"])
        _download(link, out / file["name"], size=file["bytes"])
        say(f"\n{_described(file)}\n{link}")
    say(f"\n{len(published['files'])} files, {published['rows']:,} rows; copies are in {_shown(out)}/")


def _follow(stack: LocalStack, client: httpx.Client, run_id: str, show: Callable[[str, int, int], None]) -> str:
    while True:
        stack.airflow.require()  # without its scheduler a run would stay as it is for ever
        state = run_state(client, REPORT, run_id)
        states = task_states(client, REPORT, run_id)
        for stage in STAGES:
            mine = [found for task, _, found in states if task == stage]
            show(stage, sum(found in ("success", "skipped") for found in mine), len(mine))
        if state in ENDED:
            return state
        time.sleep(SECONDS_BETWEEN_LOOKS)


@contextmanager
def _progress(say: Callable[[str], None]) -> Iterator[Callable[[str, int, int], None]]:
    """Gives what is told of a stage's tasks: bars on a terminal, a line for each finished stage elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        told: set[str] = set()

        def tell(stage: str, done: int, total: int) -> None:
            if total and done == total and stage not in told:
                told.add(stage)
                say(f"{stage}: {total} of {total}")

        yield tell
        return
    with Progress(
        TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as bars:
        tasks = {stage: bars.add_task(stage, total=1) for stage in STAGES}
        yield lambda stage, done, total: bars.update(tasks[stage], completed=done, total=total or 1)


@contextmanager
def _ended_on_interrupt(client: httpx.Client, run_id: str) -> Iterator[None]:
    """Ends the run with us: in a stack that was joined it would go on."""
    try:
        yield
    except KeyboardInterrupt:
        with suppress(StackError), uninterrupted():
            fail_run(client, REPORT, run_id)
        raise


def _download(link: str, path: Path, *, size: int) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with httpx.stream("GET", link, timeout=60, trust_env=False) as answer, part.open("wb") as file:
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                file.write(chunk)
        if part.stat().st_size != size:
            raise StackError(f"{path.name} has {part.stat().st_size} bytes where {size} were stored")
        part.replace(path)
    except httpx.HTTPError as error:
        raise StackError(f"the link of {path.name} does not work: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _described(file: Mapping[str, Any]) -> str:
    rows = format_count(file["rows"], "row") if file["rows"] else ""  # a summary has none of its own
    return "  ".join(filter(None, [file["name"], rows, format_size(file["bytes"])]))


def _shown(path: Path) -> Any:
    return path.relative_to(CLONE) if path.is_relative_to(CLONE) else path
