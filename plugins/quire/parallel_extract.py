"""Extracts groups of partitions in parallel threads of one process."""

from __future__ import annotations

import os
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from quire.object_store import Store
from quire.postgres import SourceSession
from quire.record_types.stage_records import PlannedRun, StagedPartition
from quire.report.definition import ReportDefinition
from quire.stage_progress import StageProgress, ignore_progress

MAX_EXTRACT_THREADS = 64  # the maximum for source.parallel
SIGNAL_SECONDS = 0.2  # interval at which the main thread wakes up to handle signals that other threads received


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

    cached, total, began = len(planned.cached), planned.partition_count, time.monotonic()
    progress("extract", cached, total)
    extracted: dict[int, tuple[StagedPartition, ...]] = {}
    workers = max(1, min(definition.source.parallel, max_threads, os.cpu_count() or 1, len(planned.groups)))
    with ThreadPoolExecutor(workers, thread_name_prefix="extract") as pool:
        waiting = {
            pool.submit(extract_partitions, definition, planned.plan, group, session=session, store=store): number
            for number, group in enumerate(planned.groups)
        }
        try:
            while waiting:
                for done in wait(waiting, timeout=SIGNAL_SECONDS, return_when=FIRST_COMPLETED).done:
                    extracted[waiting.pop(done)] = done.result()
                    progress("extract", cached + sum(map(len, extracted.values())), total)
                if time.monotonic() - began > max_seconds:
                    waiting = {future: number for future, number in waiting.items() if not future.cancel()}
        except BaseException:
            session.cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return tuple(partition for number in sorted(extracted) for partition in extracted[number])
