"""Benchmark results: one terminal line per contender, and a table and JSON for all contenders."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import Measurement, measure
from benchmarks.places import CLONE, FOLDER, PEERS, RESULTS

OURS_NAME = "quire"
NUMBERED = re.compile(r"[0-9]*")
Table = Callable[[Sequence["Result"]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The median of one contender's runs on one table.

    Args:
        table: the data.
        contender: name of the contender; ``quire`` is ours.
        rows: number of rows read.
        runs: number of runs.
        seconds: wall time of the work if the contender reports it, otherwise wall time of the process.
        process_seconds: wall time of the process, including Python's start and imports.
        peak_bytes: the process tree's peak resident memory.
        out_bytes: bytes written.
    """

    table: str
    contender: str
    rows: int
    runs: int
    seconds: float
    peak_bytes: int
    out_bytes: int = 0
    process_seconds: float = 0.0

    @property
    def rows_per_second(self) -> int:
        """Rows per second of wall time."""
        return round(self.rows / self.seconds)


def contend(
    command: Sequence[str | Path],
    *,
    table: str,
    contender: str,
    rows: int,
    runs: int,
    out: Path | None = None,
    environment: Mapping[str, str] | None = None,
    has_memory: bool = True,
) -> Result:
    """Runs a contender several times and returns the median run.

    Args:
        command: the command to run.
        table: the data.
        contender: name of the contender.
        rows: number of rows it reads.
        runs: number of runs.
        out: the file it writes; ``name1.suffix`` and so on count too, because some contenders write several files.
        environment: environment variables to set in addition to the benchmarks' own.
        has_memory: whether its memory is meaningful; it is not if the process does more than the measured work.
    """
    measured = []
    for _ in range(runs):
        for stale in _written_files(out):  # an earlier run may have written more files
            stale.unlink()
        measured.append(_run(command, environment))
    return _median_result(measured, table=table, contender=contender, rows=rows, out=out, has_memory=has_memory)


def contend_in_turn(
    commands: Mapping[str, Sequence[str | Path]], *, table: str, rows: int, runs: int, environment: Mapping[str, str]
) -> list[Result]:
    """Runs contenders alternately for several rounds, because a machine's speed changes from minute to minute.

    Args:
        commands: the commands to run, by contender.
        table: the data.
        rows: number of rows each reads.
        runs: number of rounds.
        environment: environment variables to set in addition to the benchmarks' own.
    """
    measured: dict[str, list[Measurement]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            measured[name].append(_run(command, environment))
    return [_median_result(runs_of, table=table, contender=name, rows=rows) for name, runs_of in measured.items()]


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None) -> Measurement:
    path = {"PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}", **(environment or {})}
    return measure(list(map(str, command)), environment=path)


def _median_result(
    measured: Sequence[Measurement],
    *,
    table: str,
    contender: str,
    rows: int,
    out: Path | None = None,
    has_memory: bool = True,
) -> Result:
    median = sorted(measured, key=lambda run: run.own_seconds or run.seconds)[len(measured) // 2]
    result = Result(
        table=table,
        contender=contender,
        rows=rows,
        runs=len(measured),
        seconds=round(median.own_seconds or median.seconds, 3),
        peak_bytes=max(run.peak_bytes for run in measured) if has_memory else 0,
        out_bytes=sum(path.stat().st_size for path in _written_files(out)),
        process_seconds=round(median.seconds, 3),
    )
    print(
        f"{table:14} {contender:28} {rows:>11,} rows {result.seconds:8.2f} s {result.rows_per_second:>10,} rows/s "
        f"{result.peak_bytes / 1e6:7.0f} MB memory {result.out_bytes / 1e6:8.1f} MB written",
        flush=True,
    )
    return result


def _written_files(out: Path | None) -> list[Path]:
    """Returns the files that a contender has written: the named file, and files with a number after the name."""
    if out is None:
        return []
    return [
        path for path in out.parent.glob(f"{out.stem}*{out.suffix}") if NUMBERED.fullmatch(path.stem[len(out.stem) :])
    ]


def ratio_table(results: Sequence[Result]) -> str:
    """Returns all results as a Markdown table, with the ratio of Quire's speed to each contender's."""
    lines = [
        "| table | contender | rows | runs | seconds | process | rows/s | Quire / contender | peak MB | MB written |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        ours = _ours(results, result)
        ratio = f"{ours.rows_per_second / result.rows_per_second:.2f}" if ours is not result else ""
        lines.append(
            f"| {result.table} | {result.contender} | {result.rows:,} | {result.runs} | {result.seconds:,.2f} | "
            f"{_format_figure(result.process_seconds, '{:,.2f}')} | "
            f"{result.rows_per_second:,} | {ratio} | {_format_figure(result.peak_bytes / 1e6, '{:,.0f}')} | "
            f"{_format_figure(result.out_bytes / 1e6, '{:,.1f}')} |"
        )
    return "\n".join(lines)


def write_results(
    name: str,
    results: Sequence[Result],
    *,
    title: str,
    quick: bool,
    notes: Sequence[str] = (),
    tabulate: Table | None = None,
    draws_seconds: bool = False,
) -> None:
    """Writes a benchmark's results as JSON, a Markdown table and pictures.

    Args:
        name: stem of the file names.
        results: in table order.
        title: heading of the table and the picture.
        quick: whether to write to a separate folder, because committed results come from full measurements.
        notes: sentences that a reader needs to interpret the results.
        tabulate: formats the table; ``ratio_table`` by default.
        draws_seconds: whether the picture shows seconds in table order, rather than rows per second.
    """
    folder = FOLDER / "quick" if quick else RESULTS
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "processor": _processor()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    records = [{**asdict(result), "rows_per_second": result.rows_per_second} for result in results]
    path.write_text(
        json.dumps(
            {
                "title": title,
                "machine": machine,
                "notes": list(notes),
                "draws_seconds": draws_seconds,
                "results": records,
            },
            indent=1,
        )
        + "\n"
    )
    table = (tabulate or ratio_table)(results)
    note_lines = "".join(f"- {note}\n" for note in notes)
    text = f"# {title}\n\n{machine['cores']} cores, {machine['processor']}\n\n{table}\n"
    path.with_suffix(".md").write_text(f"{text}\n{note_lines}" if notes else text)
    print(f"\n{title}\n\n{table}\n\n{note_lines}", flush=True)
    subprocess.run([PEERS, CLONE / "benchmarks" / "picture.py", path], check=True)


def _format_figure(figure: float, form: str) -> str:
    """Returns the formatted number, or an empty string for zero."""
    return form.format(figure) if figure else ""


def _ours(results: Sequence[Result], other: Result) -> Result:
    """Returns Quire's run on the same table: the one with the same number of rows, otherwise the largest."""
    mine = [result for result in results if result.contender == OURS_NAME and result.table == other.table]
    same = [result for result in mine if result.rows == other.rows]
    return (same or sorted(mine, key=lambda result: -result.rows))[0]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
