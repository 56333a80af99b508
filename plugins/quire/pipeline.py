"""All stages in one process: what the command line and the tests run."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field

from quire.artifacts import PublishedRun, RenderedFile, RunLayout, RunPlan, RunRequest, StagedPartition, StagedRun
from quire.definition import ReportDefinition
from quire.object_store import ObjectStore
from quire.source import SourceSession

StageProgress = Callable[[str, int, int], None]
"""Told of a stage's name, its units that are done, and their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A published run, the partitions as this run met them, seconds by stage, and the process' peak memory."""

    published: PublishedRun
    partitions: tuple[StagedPartition, ...]
    seconds: dict[str, float]
    peak_rss_bytes: int


@dataclass(slots=True)
class _Stopwatch:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - began, 3)


def run_report(
    definition: ReportDefinition,
    request: RunRequest,
    *,
    session: SourceSession,
    store: ObjectStore,
    progress: StageProgress = lambda stage, done, total: None,
) -> RunOutcome:
    """Runs plan, extract, aggregate, layout, render and publish.

    Args:
        definition: the report.
        request: what was asked for.
        session: the source.
        store: where everything is kept.
        progress: told whenever a stage begins, moves on or ends.

    Raises:
        ReportError: what any stage raises; nothing that a reader could take for a run is left.
    """
    from quire.stages.aggregate import aggregate_summaries
    from quire.stages.layout import layout_run
    from quire.stages.plan import plan_partitions
    from quire.stages.publish import publish_run

    watch = _Stopwatch()
    with watch.stage("total"):
        store.check()
        with watch.stage("plan"):
            progress("plan", 0, 1)
            plan = plan_partitions(definition, request, session=session)
            progress("plan", 1, 1)
        with watch.stage("extract"):
            staged = _extract(definition, plan, session=session, store=store, progress=progress)
        with watch.stage("aggregate"):
            progress("aggregate", 0, 1)
            summaries = aggregate_summaries(definition, plan, staged, store=store)
            progress("aggregate", 1, 1)
        with watch.stage("layout"):
            layout = layout_run(definition, plan, staged, store=store)
        run = StagedRun(plan=plan, partitions=staged, summaries=summaries, layout=layout)
        with watch.stage("render"):
            files = _render(definition, run, layout, store=store, progress=progress)
        with watch.stage("publish"):
            progress("publish", 0, 1)
            published = publish_run(definition, run, files, store=store)
            progress("publish", 1, 1)
    return RunOutcome(published=published, partitions=staged, seconds=watch.seconds, peak_rss_bytes=peak_rss_bytes())


def peak_rss_bytes() -> int:
    """Returns the most memory this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _extract(
    definition: ReportDefinition,
    plan: RunPlan,
    *,
    session: SourceSession,
    store: ObjectStore,
    progress: StageProgress,
) -> tuple[StagedPartition, ...]:
    from quire.stages.extract import extract_partitions

    total = sum(len(group) for group in plan.groups)
    progress("extract", 0, total)
    found: dict[int, tuple[StagedPartition, ...]] = {}
    workers = min(definition.source.parallel, os.cpu_count() or 1, len(plan.groups))
    with ThreadPoolExecutor(workers, thread_name_prefix="extract") as pool:
        waiting = {
            pool.submit(extract_partitions, definition, plan, group, session=session, store=store): number
            for number, group in enumerate(plan.groups)
        }
        try:
            for done in as_completed(waiting):
                found[waiting[done]] = done.result()
                progress("extract", sum(map(len, found.values())), total)
        except BaseException:
            session.cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return tuple(partition for number in sorted(found) for partition in found[number])


def _render(
    definition: ReportDefinition,
    run: StagedRun,
    layout: RunLayout,
    *,
    store: ObjectStore,
    progress: StageProgress,
) -> tuple[RenderedFile, ...]:
    from quire.stages.render import render_workbooks

    total = sum(len(group) for group in layout.groups)
    files: list[RenderedFile] = []
    done = 0
    for group in layout.groups:
        for share in group:
            progress("render", done, total)
            files += render_workbooks(definition, run, [share], store=store)
            done += 1
    progress("render", done, total)
    return tuple(files)
