"""Measures the resources of a task: elapsed and processor time, memory, and its SQL statements."""

from __future__ import annotations

import logging
import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from quire.memory import give_back_free_memory
from quire.records.stage_records import RenderedFile, StagedPartition, StagedSummary, StatementUsage, TaskUsage

logger = logging.getLogger(__name__)

_PEAK = Path("/proc/self/status")
_FORGET_PEAK = Path("/proc/self/clear_refs")


class StatementLog:
    """Counts the statements of a task by their text without values. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usage: dict[str, tuple[int, int, float]] = {}

    def add(self, sql: str, *, rows: int, seconds: float) -> None:
        """Counts one call of a statement, as ``normalized`` gives it."""
        with self._lock:
            calls, total, spent = self._usage.get(sql, (0, 0, 0.0))
            self._usage[sql] = calls + 1, total + rows, spent + seconds

    def statements(self) -> tuple[StatementUsage, ...]:
        """Returns the usage of each statement, in the order of first calls."""
        with self._lock:
            return tuple(
                StatementUsage(sql=sql, calls=calls, rows=rows, milliseconds=round(seconds * 1000, 1))
                for sql, (calls, rows, seconds) in self._usage.items()
            )


class TaskMeter:
    """Measures one task from now on.

    Args:
        stage: of the pipeline.
        task: what it works on, such as a partition's key.
        statements: of its session; None where it has none.
    """

    def __init__(self, stage: str, task: str, statements: StatementLog | None = None) -> None:
        self._stage, self._task, self._statements = stage, task, statements
        self._began, self._processor = time.perf_counter(), time.process_time()
        self._units = 1
        self._rows = self._bytes = 0
        give_back_free_memory()
        _forget_peak()

    def count(self, *, rows: int = 0, bytes: int = 0, units: int = 1) -> None:
        """Sets what the task did: rows, bytes written, and the partitions or files it worked on."""
        self._rows, self._bytes, self._units = rows, bytes, max(units, 1)

    def count_written(self, found: Sequence[StagedPartition | StagedSummary | RenderedFile]) -> None:
        """Counts the records of what the task wrote; partitions that were stored before were only looked at."""
        new = [part for part in found if not (isinstance(part, StagedPartition) and part.cache_hit)]
        self.count(rows=sum(part.rows for part in new), bytes=sum(part.bytes for part in new), units=len(found))

    def usage(self) -> TaskUsage:
        """Returns what the task has taken until now."""
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
def measured(stage: str, task: str, statements: StatementLog | None = None) -> Iterator[TaskMeter]:
    """Gives the meter of a task, and logs what it took at its end, however that comes."""
    meter = TaskMeter(stage, task, statements)
    try:
        yield meter
    finally:
        _log(meter.usage())


def _log(found: TaskUsage) -> None:
    logger.info(
        "%s %s: %s rows, %s bytes, %.2f s, %.2f s of processor, %.0f MB at most",
        found.stage, found.task, found.rows, found.bytes, found.seconds, found.cpu_seconds, found.peak_rss_bytes / 1e6,
    )  # fmt: skip
    for statement in found.statements:
        logger.info(
            "%s %s: %s calls, %s rows, %.1f ms: %s",
            found.stage, found.task, statement.calls, statement.rows, statement.milliseconds, statement.sql,
        )  # fmt: skip


def peak_rss_bytes() -> int:
    """Returns the most memory that this process has held, on Linux since its last task began."""
    with suppress(OSError):
        for line in _PEAK.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _forget_peak() -> None:
    """Makes the kernel count the peak anew (man 5 proc, clear_refs: 5); where it cannot, peaks are those until now."""
    with suppress(OSError):
        _FORGET_PEAK.write_text("5")
