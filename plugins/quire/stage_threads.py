"""Runs the parts of extract and render in parallel threads of one process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import groupby
from typing import TypeVar

from quire.date_range import DatePartition
from quire.object_store import Store
from quire.postgres import SourceSession
from quire.record_types.stage_records import (
    PlannedRun,
    RenderedFile,
    StagedPartition,
    StagedRun,
    StagedSummary,
    WorkbookShard,
)
from quire.report.definition import ReportDefinition

MAX_EXTRACT_THREADS = 64  # the maximum for source.parallel
MAX_RENDER_THREADS = 2  # each of them writes a workbook, in two threads of its own
# Larger workbooks are written one at a time: two at once need 20 MB more memory with 80,000 cells each, and 60 MB more
# with 560,000.
MAX_PARALLEL_CELLS = 250_000
SIGNAL_SECONDS = 0.2  # interval at which the main thread wakes up to handle signals that other threads received

Item = TypeVar("Item")
Result = TypeVar("Result")
StageProgress = Callable[[str, int, int], None]
"""Called with a stage's name, its number of finished units and its total number of units."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Does nothing; the default ``StageProgress``."""


def extract_groups(
    definition: ReportDefinition,
    planned: PlannedRun,
    *,
    session: SourceSession,
    store: Store,
    progress: StageProgress = ignore_progress,
    max_seconds: float = float("inf"),
    max_threads: int = MAX_EXTRACT_THREADS,
) -> tuple[StagedPartition, ...]:
    """Extracts the planned groups in up to ``source.parallel`` threads, and returns their partitions in order.

    Args:
        definition: the report.
        planned: the planned run.
        session: the source.
        store: the store for the partitions.
        progress: called when a partition is extracted.
        max_seconds: after this time, no further group starts.
        max_threads: the maximum number of threads.

    Raises:
        ReportError: an extract failed.
    """
    from quire.stages.extract import extract_partitions

    done, total = len(planned.cached), planned.partition_count
    progress("extract", done, total)

    def extract(group: Sequence[DatePartition]) -> tuple[StagedPartition, ...]:
        return extract_partitions(definition, planned.plan, group, session=session, store=store)

    def advance(group: Sequence[DatePartition]) -> None:
        nonlocal done
        done += len(group)
        progress("extract", done, total)

    extracted = _run_in_threads(
        extract,
        planned.groups,
        threads=min(definition.source.parallel, max_threads, os.cpu_count() or 1),
        name="extract",
        advance=advance,
        cancel=session.cancelled.set,
        max_seconds=max_seconds,
    )
    return tuple(partition for group in extracted for partition in group)


def render_shards(
    definition: ReportDefinition,
    run: StagedRun,
    shards: Sequence[WorkbookShard],
    *,
    summaries: Sequence[StagedSummary],
    store: Store,
    progress: StageProgress = ignore_progress,
) -> tuple[RenderedFile, ...]:
    """Renders some or all of a run's uncached workbooks, and returns their files in order.

    Small workbooks are rendered in parallel, since a single workbook does not keep all cores busy from its beginning to
    its end.

    Args:
        definition: the report.
        run: the staged run.
        shards: the workbooks.
        summaries: the run's summaries if the workbooks contain them.
        store: the store that holds the rows and receives the files.
        progress: called when a workbook is rendered.

    Raises:
        ReportError: a workbook could not be rendered.
    """
    from quire.stages.render import render_workbooks

    cancelled = threading.Event()
    total = len(run.layout.file_names)
    done = total - sum(len(shard.keys) for shard in shards)
    progress("render", done, total)

    def render(shard: WorkbookShard) -> tuple[RenderedFile, ...]:
        return render_workbooks(definition, run, [shard], summaries=summaries, store=store, cancelled=cancelled)

    def advance(shard: WorkbookShard) -> None:
        nonlocal done
        done += len(shard.keys)
        progress("render", done, total)

    rendered = list[tuple[RenderedFile, ...]]()
    threads = min(MAX_RENDER_THREADS, os.cpu_count() or 1)
    for is_small, neighbors in groupby(shards, key=lambda shard: _cells(definition, run, shard) <= MAX_PARALLEL_CELLS):
        group = list(neighbors)
        if is_small and min(threads, len(group)) > 1:
            rendered += _run_in_threads(
                render, group, threads=threads, name="render", advance=advance, cancel=cancelled.set
            )
            continue
        for shard in group:  # in the calling thread, which a signal can interrupt
            rendered.append(render(shard))
            advance(shard)
    return tuple(file for files in rendered for file in files)


def _cells(definition: ReportDefinition, run: StagedRun, shard: WorkbookShard) -> int:
    columns = definition.columns or run.plan.columns
    return len(columns) * shard.rows


def _run_in_threads(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    threads: int,
    name: str,
    advance: Callable[[Item], None],
    cancel: Callable[[], None],
    max_seconds: float = float("inf"),
) -> list[Result]:
    """Returns the results of ``work`` for the items, in order. After an error, starts no further work.

    Args:
        work: a function of one item.
        items: the items.
        threads: the maximum number of threads.
        name: the threads' name.
        advance: called in the calling thread after the work on an item.
        cancel: called after an error, to end the running work.
        max_seconds: after this time, no further work starts, and the results so far are returned.
    """
    began, results = time.monotonic(), dict[int, Result]()
    with ThreadPoolExecutor(max(1, min(threads, len(items))), thread_name_prefix=name) as pool:
        waiting = {pool.submit(work, item): number for number, item in enumerate(items)}
        try:
            while waiting:
                for future in wait(waiting, timeout=SIGNAL_SECONDS, return_when=FIRST_COMPLETED).done:
                    number = waiting.pop(future)
                    results[number] = future.result()
                    advance(items[number])
                if time.monotonic() - began > max_seconds:
                    waiting = {future: number for future, number in waiting.items() if not future.cancel()}
        except BaseException:
            cancel()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [results[number] for number in sorted(results)]
