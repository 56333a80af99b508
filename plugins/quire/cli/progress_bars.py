"""Draws a progress bar for each stage if standard error is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from quire.stage_threads import StageProgress


@contextmanager
def show_progress(title: str) -> Iterator[StageProgress]:
    """Yields a callback for the pipeline's progress. On a terminal, the callback draws bars on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, done, total: None
        return
    bars = Progress(
        TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    tasks = {}

    def update(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, total=total)

    console.print(title)
    with bars:
        yield update
