"""Compares how fast Quire and four peers render stored rows to XLSX, with compression alone as the lower bound."""

from __future__ import annotations

from pathlib import Path

from benchmarks.places import CLONE, FOLDER, OURS, PEERS
from benchmarks.results import OURS_NAME, Result, contend, write_results
from benchmarks.tables import FLIGHTS_ROWS, LINEITEM_ROWS, flights, lineitem

WRITERS = CLONE / "benchmarks" / "writers"
SHEET_ROWS = 1_048_575  # rows that fit below a sheet's header
RUNS = 3
QUICK = 20_000  # rows
NOTES = (
    "`seconds` is the time that each contender reports for reading Parquet and writing XLSX, without the time to "
    "import modules. `process` (the time that the entire process takes) and memory are measured from outside the "
    "process.",
    "XlsxWriter, Polars and rustpy-xlsxwriter write typed and formatted dates and times, as Quire does. XlsxWriter "
    "and Polars also write decimals; rustpy-xlsxwriter writes them as floats. Polars and rustpy-xlsxwriter hold the "
    "entire table in memory.",
    "DuckDB supports no formats: numbers are unformatted, and dates use its default format (dd/mm/yy). Unlike Quire, "
    "it writes no column widths, no filter and no frozen header.",
    "ISA-L alone is the lower bound: it compresses the same XML at the same level, but does not create, check or "
    "package it.",
)


def measure_render(*, quick: bool) -> None:
    """Measures every writer on lineitem and flights; writers limited to one sheet or by memory receive fewer rows."""
    results: list[Result] = []
    for table, rows in ((lineitem(FOLDER, PEERS), LINEITEM_ROWS), (flights(FOLDER), FLIGHTS_ROWS)):
        every = min(rows, 2 * QUICK) if quick else rows
        sheet, few = (min(every, limit) for limit in ((QUICK, QUICK // 3) if quick else (SHEET_ROWS, 200_000)))
        peers = (
            ("XlsxWriter constant_memory", "xlsxwriter_constant", sheet, 1),
            ("Polars write_excel", "polars_excel", few, 1),
            ("DuckDB excel", "duckdb_excel", sheet, RUNS),
            ("rustpy-xlsxwriter", "rustpy", sheet, RUNS),
        )
        jobs = [(name, script, rows, runs, PEERS) for name, script, rows, runs in peers]
        jobs += [(OURS_NAME, "ours", rows, RUNS, OURS) for rows in sorted({few, sheet, every})]
        # This job runs last, because it compresses the workbook that Quire has just written.
        jobs.append(("ISA-L alone, same XML", "deflate_only", every, RUNS, OURS))
        for name, script, rows, runs, python in jobs:
            out = FOLDER / f"{script}.xlsx"
            command: list[str | Path] = [python, WRITERS / f"{script}.py", table, out, str(rows)]
            results.append(
                contend(
                    command, table=table.stem, contender=name, rows=rows, runs=runs, out=out,
                    has_memory=script != "deflate_only",
                )
            )  # fmt: skip
    write_results("render", results, title="Rows to XLSX", quick=quick, notes=NOTES)
