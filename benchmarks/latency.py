"""Measures how long a reader waits between requesting a report and downloading it, through a real Airflow."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

from benchmarks.latency_stack import BULK_DAYS, BULK_ROWS, READERS, Portal, add_past_runs, open_portal
from benchmarks.results import Result, write_results

INSTALLED = (1, 300, 1_000)
PAST_RUNS = 5_000
YEAR, YEAR_ROWS = ("2013-01-01", "2013-12-31"), 336_776
MONTH_ROWS, DAY_ROWS = 28_000, 900
BULK = ("2013-01-01", (date(2013, 1, 1) + timedelta(days=BULK_DAYS - 1)).isoformat())
NOTES = (
    "Seconds from a request over the portal's API until the link to the first file works, with Airflow's "
    f"LocalExecutor, PostgreSQL and S3 on the same machine, and {PAST_RUNS:,} past runs of the report. Each result is "
    "the median.",
    "Cold: no partition is cached. Warm: all partitions are cached, but the run is not published.",
    "`quire run` is the wall time of the command for the same cold request, measured in the same rounds, including "
    "Python's start.",
    "20 readers request different days at the same time, each as a user of their own who watches the run's page; the "
    "result is the longest wait. Meanwhile, another client calls Airflow's own API: its slowest response.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request that a reader makes.

    Args:
        name: the name in the results.
        report: the requested report.
        days: returns the first and last day of round ``n``.
        rows: the number of rows, approximately.
        rounds: the number of rounds.
    """

    name: str
    report: str
    days: Callable[[int], tuple[str, str]]
    rows: int
    rounds: int


QUESTIONS = (
    Question(name="one day", report="flights", days=lambda n: (_day(n), _day(n)), rows=DAY_ROWS, rounds=7),
    Question(name="one month", report="flights", days=lambda n: _month(n), rows=MONTH_ROWS, rounds=5),
    Question(name="the year", report="flights", days=lambda n: YEAR, rows=YEAR_ROWS, rounds=3),
    Question(
        name=f"{BULK_DAYS} days of {BULK_ROWS:,} rows",
        report="bulk",
        days=lambda n: BULK,
        rows=BULK_DAYS * BULK_ROWS,
        rounds=3,
    ),
)


def measure_latency(*, quick: bool) -> None:
    """Measures requests with 1, 300 and 1,000 installed reports; with one report and one round if ``quick``."""
    results = list[Result]()
    for installed in INSTALLED[:1] if quick else INSTALLED:
        with open_portal(installed) as portal:
            portal.request("flights", _day(0), _day(0))  # also makes the API server import what it needs
            add_past_runs(portal, PAST_RUNS)
            table = f"{installed:,} report{'s' if installed > 1 else ''}"
            for question in QUESTIONS:
                results += _measure(portal, question, table=table, rounds=1 if quick else question.rounds)
            results += _measure_readers(portal, table=table)
            results.append(_measure_list(portal, table=table))
    write_results(
        "latency", results, quick=quick, title="From the request to the link", notes=NOTES, tabulate=latency_table,
        draws_seconds=True,
    )  # fmt: skip


def _measure(portal: Portal, question: Question, *, table: str, rounds: int) -> list[Result]:
    seconds: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        seconds.setdefault(name, []).append(value)

    for number in range(1, rounds + 1):
        start, end = question.days(number)
        portal.forget(question.report)
        note("quire run", portal.run_command(question.report, start, end))
        portal.forget(question.report)
        note("cold", portal.request(question.report, start, end))
        note("published", portal.request(question.report, start, end))
        portal.unpublish(question.report)
        note("warm", portal.request(question.report, start, end))
    return [_result(table, f"{question.name}, {name}", question.rows, values) for name, values in seconds.items()]


def _measure_readers(portal: Portal, *, table: str) -> list[Result]:
    portal.forget("flights")
    days = [_day(100 + number) for number in range(len(READERS))]
    stopped, slowest = threading.Event(), 0.0

    def call_airflow() -> None:
        nonlocal slowest
        while not stopped.wait(0.1):
            began = time.perf_counter()
            portal.client.get("/api/v2/dags", params={"limit": 1}).raise_for_status()
            slowest = max(slowest, time.perf_counter() - began)

    watcher = threading.Thread(target=call_airflow)
    watcher.start()
    try:
        with ThreadPoolExecutor(len(READERS)) as pool:
            waits = list(pool.map(lambda user, day: portal.watch(user, "flights", day, day), READERS, days))
    finally:
        stopped.set()
        watcher.join()
    rows = len(READERS) * DAY_ROWS
    return [
        _result(table, f"{len(READERS)} readers at once, longest wait", rows, [max(waits)]),
        _result(table, f"{len(READERS)} readers at once, Airflow's slowest response", rows, [slowest]),
    ]


def _measure_list(portal: Portal, *, table: str) -> Result:
    waits = []
    for _ in range(10):
        began = time.perf_counter()
        portal.client.get("/quire/").raise_for_status()
        waits.append(time.perf_counter() - began)
    return _result(table, "list of reports", 0, waits)


def _result(table: str, contender: str, rows: int, values: Sequence[float]) -> Result:
    median = statistics.median(values)
    print(f"{table:14} {contender:50} {median:8.2f} s  ({', '.join(f'{value:.2f}' for value in values)})", flush=True)
    return Result(table=table, contender=contender, rows=rows, runs=len(values), seconds=round(median, 3), peak_bytes=0)


def latency_table(results: Sequence[Result]) -> str:
    """Returns the seconds as a Markdown table, with a row for each question and a column for each number of reports."""
    tables = list(dict.fromkeys(result.table for result in results))
    seconds = {(result.table, result.contender): result.seconds for result in results}
    lines = [f"| | {' | '.join(tables)} |", f"|---|{'---|' * len(tables)}"]
    for contender in dict.fromkeys(result.contender for result in results):
        cells = []
        for table in tables:
            value = seconds[table, contender]
            question, _, kind = contender.rpartition(", ")
            command = seconds.get((table, f"{question}, quire run"))
            ratio = f" ({value / command:.2f} times `quire run`)" if kind == "cold" and command else ""
            cells.append(f"{value:.2f} s{ratio}")
        lines.append(f"| {contender} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _day(number: int) -> str:
    return (date(2013, 2, 1) + timedelta(days=number)).isoformat()


def _month(number: int) -> tuple[str, str]:
    first = date(2013, 1 + number, 1)
    return first.isoformat(), (date(2013, 2 + number, 1) - timedelta(days=1)).isoformat()
