"""Compares how long it takes to read freshness tokens by each method, and to extract the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from quire.date_range import DateRange
from quire.partition_cache.freshness import freshness_tokens
from quire.postgres import SourceSession, open_transaction
from quire.postgres.partition_query import bound_query, query_columns
from quire.postgres.tracking.installation import track, untrack
from quire.report.catalog import find_definition
from quire.report.definition import Probe, ReportDefinition, Source
from quire.report.request import RunRequest, request_from_dates

from benchmarks.database import lineitem_servers
from benchmarks.places import CLONE
from benchmarks.results import OURS_NAME, Result, write_results

RUNS = 5
RANGES = {"one month": (date(1993, 1, 1), date(1993, 2, 1)), "twelve months": (date(1993, 1, 1), date(1994, 1, 1))}
NOTES = (
    "`quire` is `freshness: versions`.",
    "Tokens for monthly partitions of TPC-H's lineitem at scale factor 1, which has an index on the time column. "
    "`extract` reads the same rows with COPY and parses them.",
    "A run reads all tokens of its date range once, the tokens of each partition that it extracts once more, and all "
    "tokens again before it publishes.",
    "The contenders run in turn, and each result is the median of five runs. The server's cache holds the table.",
)


def measure_freshness(*, quick: bool) -> None:
    """Reads tokens for one and twelve months of lineitem at scale factor 1, or 0.1 if ``quick``."""
    report = find_definition(CLONE / "benchmarks" / "include", "pricing")
    with lineitem_servers(0.1 if quick else 1) as servers:
        session = SourceSession(url=servers.url, timezone=report.timezone, timeout=timedelta(hours=1))
        track(report, servers.url)
        try:
            results = [
                result for name, days in RANGES.items() for result in _results(name, report, days, session=session)
            ]
        finally:
            untrack(report.name, servers.url)
    write_results("freshness", results, quick=quick, title="Reading freshness tokens", notes=NOTES)


def _results(
    table: str, report: ReportDefinition, days: tuple[date, date], *, session: SourceSession
) -> Sequence[Result]:
    first, stop = days[0].isoformat(), (days[1] - timedelta(days=1)).isoformat()
    request = request_from_dates(report, start=first, end=stop, parameters={}, run_id="benchmark")
    contenders: dict[str, Callable[[], int]] = {
        OURS_NAME: lambda: _read_tokens(_with_freshness(report, "versions"), request, session),
        "tracked": lambda: _read_tokens(report, request, session),
        "probe": lambda: _read_tokens(_with_freshness(report, Probe(probe="l_orderkey")), request, session),
        "extract": lambda: _read_rows(report, request, session),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    rows = 0
    for _ in range(RUNS):
        for name, read in contenders.items():
            started = time.perf_counter()
            rows = read() or rows
            seconds[name].append(time.perf_counter() - started)
    results = [
        Result(
            table=table, contender=name, rows=rows, runs=RUNS, seconds=round(sorted(runs)[RUNS // 2], 4), peak_bytes=0
        )
        for name, runs in seconds.items()
    ]
    for result in results:
        print(f"{table:14} {result.contender:10} {result.seconds:8.3f} s", flush=True)
    return results


def _with_freshness(report: ReportDefinition, freshness: object) -> ReportDefinition:
    source = Source.model_validate({**report.source.model_dump(), "freshness": freshness, "timeout": "1h"})
    return report.model_copy(update={"source": source})


def _read_tokens(report: ReportDefinition, request: RunRequest, session: SourceSession) -> int:
    partitions = request.date_range.partitions(report.partition)
    with open_transaction(session) as transaction:
        columns = query_columns(report, request, partitions[0], transaction=transaction)
        freshness_tokens(report, request, partitions, columns=columns, transaction=transaction)
    return 0


def _read_rows(report: ReportDefinition, request: RunRequest, session: SourceSession) -> int:
    rows = 0
    partitions = DateRange(start=request.start, end=request.end, timezone=request.timezone).partitions(report.partition)
    with open_transaction(session) as transaction:
        columns = query_columns(report, request, partitions[0], transaction=transaction)
        for partition in partitions:
            sql = bound_query(report, request, partition)
            rows += sum(batch.num_rows for batch in transaction.stream(sql, columns))
    return rows
