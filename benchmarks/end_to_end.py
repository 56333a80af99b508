"""Measures exporting a million rows from PostgreSQL to one workbook.

Quire writes to S3; its peers write to a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.database import lineitem_servers
from benchmarks.days import MILLION, query_of
from benchmarks.places import CLONE, FOLDER, PEERS
from benchmarks.reports import count_rows, empty_bucket, quire_environment, quire_run
from benchmarks.results import OURS_NAME, contend, write_results

EXPORTERS = CLONE / "benchmarks" / "exporters"
OURS_RUNS = 3


def measure_end_to_end(*, quick: bool) -> None:
    """Measures exporting a million rows to one workbook, or a tenth as many if ``quick``."""
    out = FOLDER / "end_to_end.xlsx"
    sql = query_of(*MILLION)
    with lineitem_servers(0.1 if quick else 1) as servers:
        rows = count_rows(servers.url, sql)
        jobs: list[tuple[str, Sequence[str | Path], int]] = [
            (OURS_NAME, quire_run("workbook", *MILLION, output=FOLDER / "end_to_end.json"), OURS_RUNS)
        ]
        for name, script in (
            ("DuckDB postgres and excel", "duckdb_both"),
            ("Polars read_database, write_excel", "polars_both"),
            ("pandas read_sql, to_excel", "pandas_both"),
        ):
            jobs.append((name, [PEERS, EXPORTERS / f"{script}.py", sql, servers.url, out], 1))
        results = []
        for name, command, runs in jobs:
            out.unlink(missing_ok=True)
            results.append(
                contend(
                    command, table="lineitem", contender=name, rows=rows, runs=runs, out=out,
                    environment=quire_environment(servers),
                )
            )  # fmt: skip
        empty_bucket(servers)
    write_results("end_to_end", results, quick=quick, title="PostgreSQL to one workbook")
