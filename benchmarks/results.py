"""What was measured: one line for each contender, and tables and JSON of all of them."""

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
    """The median of some runs of one contender over one table.

    Args:
        table: what was measured on.
        contender: who was measured; ``quire`` is ours.
        rows: how many of the table's.
        runs: how often it ran.
        seconds: wall time of the work, where the contender tells it, else of the whole process.
        process_seconds: wall time of the whole process: Python's start and its imports too.
        peak_bytes: the largest resident memory of the process and all below it.
        out_bytes: what it wrote.
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
        """Rows over wall seconds."""
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
    """Runs a contender some times and returns the median run.

    Args:
        command: what to run.
        table: what it is measured on.
        contender: its name.
        rows: how many it takes.
        runs: how often.
        out: what it writes; ``name1.suffix`` and so on count too, for those that write several files.
        environment: for it, beside ours.
        has_memory: whether its memory says something: not where its work is only a part of what it does.
    """
    measured = []
    for _ in range(runs):
        for stale in _written(out):  # of other runs, which may have needed more files
            stale.unlink()
        measured.append(_run(command, environment))
    return _told(measured, table=table, contender=contender, rows=rows, out=out, has_memory=has_memory)


def contend_in_turn(
    commands: Mapping[str, Sequence[str | Path]], *, table: str, rows: int, runs: int, environment: Mapping[str, str]
) -> list[Result]:
    """Runs contenders one after the other, some rounds of them, since a machine's speed changes from minute to minute.

    Args:
        commands: what to run, by contender.
        table: what it is measured on.
        rows: how many each takes.
        runs: how many rounds.
        environment: for them, beside ours.
    """
    measured: dict[str, list[Measurement]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            measured[name].append(_run(command, environment))
    return [_told(found, table=table, contender=name, rows=rows) for name, found in measured.items()]


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None) -> Measurement:
    path = {"PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}", **(environment or {})}
    return measure(list(map(str, command)), environment=path)


def _told(
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
        out_bytes=sum(written.stat().st_size for written in _written(out)),
        process_seconds=round(median.seconds, 3),
    )
    print(
        f"{table:14} {contender:28} {rows:>11,} rows {result.seconds:8.2f} s {result.rows_per_second:>10,} rows/s "
        f"{result.peak_bytes / 1e6:7.0f} MB memory {result.out_bytes / 1e6:8.1f} MB written",
        flush=True,
    )
    return result


def _written(out: Path | None) -> list[Path]:
    """Returns the files that a contender has written: the named one, and those with a number behind the name."""
    if out is None:
        return []
    return [
        path for path in out.parent.glob(f"{out.stem}*{out.suffix}") if NUMBERED.fullmatch(path.stem[len(out.stem) :])
    ]


def ratio_table(results: Sequence[Result]) -> str:
    """Returns everybody's figures as a Markdown table, with ours over theirs."""
    lines = [
        "| table | contender | rows | runs | seconds | process | rows/s | Quire / contender | peak MB | MB written |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        ours = _ours(results, result)
        ratio = f"{ours.rows_per_second / result.rows_per_second:.2f}" if ours is not result else ""
        lines.append(
            f"| {result.table} | {result.contender} | {result.rows:,} | {result.runs} | {result.seconds:,.2f} | "
            f"{_shown(result.process_seconds, '{:,.2f}')} | "
            f"{result.rows_per_second:,} | {ratio} | {_shown(result.peak_bytes / 1e6, '{:,.0f}')} | "
            f"{_shown(result.out_bytes / 1e6, '{:,.1f}')} |"
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
) -> None:
    """Writes a benchmark's results as JSON, as a Markdown table and as pictures.

    Args:
        name: of the files.
        results: in the order of the table.
        title: above them.
        quick: whether to write them beside what is committed, which was measured in full.
        notes: sentences that a reader needs to judge them.
        tabulate: makes the table; by default everybody's figures, with ours over theirs.
    """
    folder = FOLDER / "quick" if quick else RESULTS
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "processor": _processor()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    told = [{**asdict(result), "rows_per_second": result.rows_per_second} for result in results]
    path.write_text(
        json.dumps({"title": title, "machine": machine, "notes": list(notes), "results": told}, indent=1) + "\n"
    )
    table = (tabulate or ratio_table)(results)
    told_notes = "".join(f"- {note}\n" for note in notes)
    text = f"# {title}\n\n{machine['cores']} cores, {machine['processor']}\n\n{table}\n"
    path.with_suffix(".md").write_text(f"{text}\n{told_notes}" if notes else text)
    print(f"\n{title}\n\n{table}\n\n{told_notes}", flush=True)
    subprocess.run([PEERS, CLONE / "benchmarks" / "picture.py", path], check=True)


def _shown(figure: float, form: str) -> str:
    """Returns a figure, nothing where there is none."""
    return form.format(figure) if figure else ""


def _ours(results: Sequence[Result], other: Result) -> Result:
    """Returns our run on the same table: on as many rows, else on the most."""
    mine = [result for result in results if result.contender == OURS_NAME and result.table == other.table]
    same = [result for result in mine if result.rows == other.rows]
    return (same or sorted(mine, key=lambda result: -result.rows))[0]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
