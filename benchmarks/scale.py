"""Measures ``quire run`` with 1, 6 and 60 million rows under a 1 GiB memory limit that the kernel enforces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from benchmarks.database import lineitem_servers
from benchmarks.days import FIRST, MILLION, STOP, query_of
from benchmarks.memory_limit import memory_limit
from benchmarks.places import FOLDER
from benchmarks.reports import count_rows, empty_bucket, quire_environment, quire_run
from benchmarks.results import OURS_NAME, Result, contend, write_results

LIMIT_BYTES = 1024**3
STAGES = ("extract", "aggregate", "render", "publish")


def measure_scale(*, quick: bool) -> None:
    """Measures full runs with yearly partitions, workbooks and a summary; each run reports its stages."""
    small, large = (0.1, 0.2) if quick else (1, 10)
    results: list[Result] = []
    for scale, days in ((small, MILLION), (small, (FIRST, STOP)), (large, (FIRST, STOP))):
        results += _measure_run(scale, days)
    write_results("scale", results, quick=quick, title="A complete run in 1 GiB", tabulate=stage_table)


def _measure_run(scale: float, days: tuple[date, date]) -> list[Result]:
    output = FOLDER / "scale.json"
    with lineitem_servers(scale) as servers, memory_limit(LIMIT_BYTES) as limited:
        rows = count_rows(servers.url, query_of(*days))
        command = [*limited, *quire_run("lineitem", *days, output=output)]
        whole = contend(
            command, table=f"{rows:,} rows", contender=OURS_NAME, rows=rows, runs=1,
            environment=quire_environment(servers),
        )  # fmt: skip
        empty_bucket(servers)
    run = json.loads(output.read_text())
    if run["rows"] != rows:
        raise RuntimeError(f"quire reported {run['rows']} rows, but the table has {rows}")
    return [whole, *(_stage(usage, whole) for usage in run["usage"] if usage["stage"] in STAGES)]


def _stage(usage: dict[str, Any], whole: Result) -> Result:
    return Result(
        table=whole.table,
        contender=usage["stage"],
        rows=whole.rows,
        runs=1,
        seconds=max(usage["seconds"], 0.001),
        peak_bytes=usage["peak_rss_bytes"],
        out_bytes=usage["bytes"],
    )


def stage_table(results: Sequence[Result]) -> str:
    """Formats the runs and their stages as a Markdown table."""
    lines = ["| rows | stage | seconds | rows/s | peak MB | MB written |", "|---|---|---|---|---|---|"]
    lines += (
        f"| {result.rows:,} | {result.contender} | {result.seconds:,.2f} | {result.rows_per_second:,} | "
        f"{result.peak_bytes / 1e6:,.0f} | {result.out_bytes / 1e6:,.1f} |"
        for result in results
    )
    return "\n".join(lines)
