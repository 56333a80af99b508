"""``make bench``: measures, and writes results as a table, as JSON and as a picture.

python -m benchmarks [--quick]
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import measure
from benchmarks.tables import CLONE, FLIGHTS_ROWS, LINEITEM_ROWS, flights, lineitem

FOLDER = CLONE / ".bench"
RESULTS = CLONE / "benchmarks" / "results"
WRITERS = CLONE / "benchmarks" / "writers"
OURS = CLONE / ".venv" / "bin" / "python"
PEERS = CLONE / ".venv-bench" / "bin" / "python"
SHEET_ROWS = 1_048_575  # what a peer of one sheet can hold below its header
REPEATS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The median of some runs of one writer."""

    table: str
    writer: str
    rows: int
    seconds: float
    rows_per_second: float
    peak_bytes: int
    file_bytes: int


def run_writer(table: Path, writer: str, rows: int, *, python: Path, repeats: int = REPEATS) -> Result:
    """Writes a table's first rows with one writer, some times, and returns the median run."""
    out = FOLDER / f"{writer}.xlsx"
    command = [str(python), str(WRITERS / f"{writer}.py"), str(table), str(out), str(rows)]
    environment = {"PYTHONPATH": str(CLONE / "plugins")}
    runs = sorted((measure(command, environment=environment) for _ in range(repeats)), key=lambda found: found.seconds)
    median = runs[len(runs) // 2]
    result = Result(
        table=table.stem,
        writer=writer,
        rows=rows,
        seconds=round(median.seconds, 3),
        rows_per_second=round(rows / median.seconds),
        peak_bytes=median.peak_bytes,
        file_bytes=sum(path.stat().st_size for path in FOLDER.glob(f"{writer}*.xlsx")),
    )
    print(
        f"{result.table:10} {writer:22} {rows:>9,} rows {result.seconds:8.2f} s {result.rows_per_second:>9,} rows/s "
        f"{result.peak_bytes / 1e6:7.0f} MB {result.file_bytes / 1e6:7.1f} MB file",
        flush=True,
    )
    return result


def floor_seconds() -> float:
    """Returns how long ISA-L takes to deflate the XML of the workbook that ours wrote last."""
    script = [str(OURS), str(WRITERS / "deflate_only.py"), str(FOLDER / "ours.xlsx"), str(FOLDER / "floor"), "0"]
    return min(float(measure(script).said) for _ in range(REPEATS))


def main() -> None:
    """Measures everything."""
    quick = "--quick" in sys.argv
    FOLDER.mkdir(exist_ok=True)
    results: list[Result] = []
    floors = {}
    for table, every in ((lineitem(FOLDER, PEERS), LINEITEM_ROWS), (flights(FOLDER), FLIGHTS_ROWS)):
        large = min(every, SHEET_ROWS)
        small = min(every, 50_000 if quick else 200_000)
        results += [
            run_writer(table, "xlsxwriter_constant", small, python=PEERS, repeats=1),
            run_writer(table, "polars_excel", small, python=PEERS, repeats=1),
            run_writer(table, "duckdb_excel", large, python=PEERS, repeats=1),
            run_writer(table, "rustpy", large, python=PEERS),
        ]
        for rows in sorted({small, large, every}):
            results.append(run_writer(table, "ours", rows, python=OURS))
        floors[table.stem] = floor_seconds()
        print(f"{table.stem:10} the floor: ISA-L alone takes {floors[table.stem]:.2f} s for the same XML", flush=True)
    print(ratios(results, floors))
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "render.json").write_text(
        json.dumps({"machine": machine, "floors": floors, "results": [asdict(result) for result in results]}, indent=1)
        + "\n"
    )


def ratios(results: list[Result], floors: dict[str, float]) -> str:
    """Returns our rows/s over each peer's, as a Markdown table."""
    lines = ["| table | peer | peer, rows/s | ours, rows/s | ratio |", "|---|---|---|---|---|"]
    for result in results:
        if result.writer == "ours":
            continue
        best = max(
            (mine for mine in results if mine.writer == "ours" and mine.table == result.table),
            key=lambda mine: mine.rows,
        )
        ratio = best.rows_per_second / result.rows_per_second
        lines.append(
            f"| {result.table} | {result.writer} ({result.rows:,} rows) | {result.rows_per_second:,} | "
            f"{best.rows_per_second:,} | {ratio:.1f} |"
        )
    for table, seconds in floors.items():
        mine = max(
            (found for found in results if found.writer == "ours" and found.table == table), key=lambda f: f.rows
        )
        lines.append(
            f"| {table} | ISA-L alone, the same XML | | {seconds:.2f} s | {mine.seconds / seconds:.1f} times it |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
