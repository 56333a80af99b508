"""Rendering: stored rows as XLSX, ours beside four peers, and beside the deflating alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.places import CLONE, FOLDER, OURS, PEERS
from benchmarks.results import OURS_NAME, Result, contend, write_results
from benchmarks.tables import FLIGHTS_ROWS, LINEITEM_ROWS, flights, lineitem

WRITERS = CLONE / "benchmarks" / "writers"
SHEET_ROWS = 1_048_575  # what a peer of one sheet can hold below its header
RUNS = 3


def measure_render(*, quick: bool) -> None:
    """Measures every writer on lineitem and on flights; slow peers, and those of one sheet, on fewer rows."""
    results: list[Result] = []
    for table, every in ((lineitem(FOLDER, PEERS), LINEITEM_ROWS), (flights(FOLDER), FLIGHTS_ROWS)):
        sheet, few = min(every, SHEET_ROWS), min(every, 50_000 if quick else 200_000)
        peers = (
            ("XlsxWriter constant_memory", "xlsxwriter_constant", few, 1),
            ("Polars write_excel", "polars_excel", few, 1),
            ("DuckDB excel", "duckdb_excel", sheet, 1),
            ("rustpy-xlsxwriter", "rustpy", sheet, RUNS),
        )
        jobs = [(name, script, rows, runs, PEERS) for name, script, rows, runs in peers]
        jobs += [(OURS_NAME, "ours", rows, RUNS, OURS) for rows in sorted({few, sheet, every})]
        # last, since it deflates the workbook that ours has just written
        jobs.append(("ISA-L alone, same XML", "deflate_only", every, RUNS, OURS))
        for name, script, rows, runs, python in jobs:
            out = FOLDER / f"{script}.xlsx"
            command: list[str | Path] = [python, WRITERS / f"{script}.py", table, out, str(rows)]
            results.append(contend(command, table=table.stem, contender=name, rows=rows, runs=runs, out=out))
    write_results("render", results, title="Rows to XLSX")
