"""Tasks measure and log their SQL statements, CPU time and memory."""

from __future__ import annotations

import logging
import sys
import threading
import time

import pytest
from quire.record_types.stage_records import StagedSummary, StatementUsage
from quire.resource_usage import StatementLog, TaskMeter, measure_task

MEGABYTE = 1024 * 1024


def test_statement_log_counts_calls_rows_and_time_by_text() -> None:
    log = StatementLog()
    log.add("SELECT ?", rows=1, seconds=0.25)
    log.add("SELECT a", rows=3, seconds=0.5)
    log.add("SELECT ?", rows=2, seconds=0.25)
    assert log.statements() == (
        StatementUsage(sql="SELECT ?", calls=2, rows=3, milliseconds=500),
        StatementUsage(sql="SELECT a", calls=1, rows=3, milliseconds=500),
    )


def test_statement_log_of_many_threads_loses_no_call() -> None:
    log = StatementLog()

    def work() -> None:
        for _ in range(2000):
            log.add("SELECT ?", rows=1, seconds=0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (log.statements()[0].calls, log.statements()[0].rows) == (16_000, 16_000)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a process's peak")
def test_peak_memory_excludes_earlier_tasks() -> None:
    before = TaskMeter("extract", "large")
    held = bytearray(300 * MEGABYTE)
    del held
    large = before.usage().peak_rss_bytes
    small = TaskMeter("extract", "small").usage().peak_rss_bytes
    assert large - small > 250 * MEGABYTE


def test_processor_time_includes_all_threads() -> None:
    def work() -> None:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass

    meter = TaskMeter("render", "2013-01")
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    usage = meter.usage()
    assert usage.cpu_seconds >= 0.4
    assert usage.seconds >= 0.2


def test_failed_task_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="quire.resource_usage")
    log = StatementLog()

    def fail() -> None:
        with measure_task("extract", "2013", log):
            log.add("SELECT ?", rows=1, seconds=0.25)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    took, statement = caplog.messages
    assert took.startswith("extract 2013: 0 rows, 0 bytes, ")
    assert statement == "extract 2013: 1 calls, 1 rows, 250.0 ms: SELECT ?"


def test_measured_task_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = StatementLog()
    caplog.set_level(logging.INFO, logger="quire.resource_usage")
    with measure_task("aggregate", "2013", log) as meter:
        log.add("SELECT ?", rows=1, seconds=0.001)
        meter.count_written([StagedSummary(name="s", object_key="k", rows=16, bytes=900, sha256="0" * 64)])
    assert caplog.messages[0].startswith("aggregate 2013: 16 rows, 900 bytes, ")
    assert caplog.messages[1] == "aggregate 2013: 1 calls, 1 rows, 1.0 ms: SELECT ?"
