"""Measures a task's elapsed time, CPU time, memory and SQL statements."""

from __future__ import annotations

import logging
import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from quire.allocator_settings import release_free_memory
from quire.record_types.stage_records import RenderedFile, StagedPartition, StagedSummary, StatementUsage, TaskUsage
from quire.report.request import RunRequest

logger = logging.getLogger(__name__)

_STATUS = Path("/proc/self/status")
_RESET_PEAK = Path("/proc/self/clear_refs")


class StatementLog:
    """Counts a task's statements, grouped by their SQL without values. This class is thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usage: dict[str, tuple[int, int, float]] = {}

    def add(self, sql: str, *, rows: int, seconds: float) -> None:
        """Counts one call to a statement.

        Args:
            sql: the statement, as ``normalize`` returns it.
            rows: how many rows the call returned.
            seconds: the duration of the call.
        """
        with self._lock:
            calls, total, spent = self._usage.get(sql, (0, 0, 0.0))
            self._usage[sql] = calls + 1, total + rows, spent + seconds

    def statements(self) -> tuple[StatementUsage, ...]:
        """Returns each statement's usage, in order of first call."""
        with self._lock:
            return tuple(
                StatementUsage(sql=sql, calls=calls, rows=rows, milliseconds=round(seconds * 1000, 1))
                for sql, (calls, rows, seconds) in self._usage.items()
            )


class TaskMeter:
    """Measures a task's resource usage, starting when the meter is created.

    Args:
        stage: the pipeline stage.
        task: the name of the task's input, such as a partition key.
        statements: the session's statement log, if the task has a session.
    """

    def __init__(self, stage: str, task: str, statements: StatementLog | None = None) -> None:
        self._stage, self._task, self._statements = stage, task, statements
        self._began, self._processor = time.perf_counter(), time.process_time()
        self._units = 1
        self._rows = self._bytes = 0
        release_free_memory()
        _reset_peak()

    def count(self, *, rows: int = 0, bytes: int = 0, units: int = 1) -> None:
        """Sets the task's totals: rows, bytes written and units (partitions or files)."""
        self._rows, self._bytes, self._units = rows, bytes, max(units, 1)

    def count_written(self, parts: Sequence[StagedPartition | StagedSummary | RenderedFile]) -> None:
        """Sets the totals to the rows and bytes that the task wrote. A cache hit adds a unit, but no rows or bytes."""
        new = [part for part in parts if not (isinstance(part, StagedPartition) and part.cache_hit)]
        self.count(rows=sum(part.rows for part in new), bytes=sum(part.bytes for part in new), units=len(parts))

    def usage(self) -> TaskUsage:
        """Returns the task's resource usage so far."""
        return TaskUsage(
            stage=self._stage,
            task=self._task,
            units=self._units,
            rows=self._rows,
            bytes=self._bytes,
            seconds=round(time.perf_counter() - self._began, 3),
            cpu_seconds=round(time.process_time() - self._processor, 3),
            peak_rss_bytes=peak_rss_bytes(),
            statements=self._statements.statements() if self._statements else (),
        )


@contextmanager
def measure_task(stage: str, task: str, statements: StatementLog | None = None) -> Iterator[TaskMeter]:
    """Yields a task's meter; logs the task's resource usage when the task ends, even if it fails."""
    meter = TaskMeter(stage, task, statements)
    try:
        yield meter
    finally:
        _log(meter.usage())


class StageMeters:
    """Measures each stage of a run that executes in a single process."""

    def __init__(self, request: RunRequest) -> None:
        self._task, self._began = f"{request.start} to {request.end}", time.perf_counter()
        self.usages: list[TaskUsage] = []

    @contextmanager
    def stage(self, name: str, statements: StatementLog | None = None) -> Iterator[TaskMeter]:
        """Yields a stage's meter, and appends its usage to ``usages`` if the stage succeeds."""
        with measure_task(name, self._task, statements) as meter:
            yield meter
            self.usages.append(meter.usage())

    def seconds(self) -> dict[str, float]:
        """Returns the elapsed seconds for each stage, and the total elapsed time since the run started."""
        spent = {usage.stage: usage.seconds for usage in self.usages}
        return {**spent, "total": round(time.perf_counter() - self._began, 3)}


def _log(usage: TaskUsage) -> None:
    logger.info(
        "%s %s: %s rows, %s bytes, %.2f s, %.2f s CPU, %.0f MB peak",
        usage.stage, usage.task, usage.rows, usage.bytes, usage.seconds, usage.cpu_seconds, usage.peak_rss_bytes / 1e6,
    )  # fmt: skip
    for statement in usage.statements:
        logger.info(
            "%s %s: %s calls, %s rows, %.1f ms: %s",
            usage.stage, usage.task, statement.calls, statement.rows, statement.milliseconds, statement.sql,
        )  # fmt: skip


def peak_rss_bytes() -> int:
    """Returns this process's peak memory; on Linux, the peak since the current task started."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _reset_peak() -> None:
    """Resets the kernel's record of peak memory (man 5 proc, clear_refs: 5), so that it excludes earlier tasks."""
    with suppress(OSError):
        _RESET_PEAK.write_text("5")
