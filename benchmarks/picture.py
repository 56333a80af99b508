"""Draws benchmark results as PNG and SVG next to their JSON: ``picture.py RESULTS.json``, in the peers' environment."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

OURS, OURS_COLOR, PEER_COLOR, BOUND_COLOR = "quire", "#1F5A85", "#B8C2CC", "#E8EDF2"
INK, MUTED = "#1F2933", "#66727F"
COMMAND = "quire run"  # ends the names of commands to which requests are compared
BOUND = "alone"  # occurs in the names of bounds, which are not contenders


def main(path: Path) -> None:
    report = json.loads(path.read_text())
    tables: dict[str, list[dict[str, Any]]] = {}
    for result in report["results"]:
        tables.setdefault(result["table"], []).append(result)
    mpl.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "svg.hashsalt": "quire"})
    draws_seconds = report.get("draws_seconds", False)
    bars = {name: seconds_of(results) if draws_seconds else speeds_of(results) for name, results in tables.items()}
    heights = [len(panel_bars) for panel_bars in bars.values()]
    figure, panels = pyplot.subplots(
        len(tables), 1, figsize=(8.5, 0.32 * sum(heights) + 0.75 * len(tables) + 0.5),
        gridspec_kw={"height_ratios": heights}, squeeze=False, layout="constrained",
    )  # fmt: skip
    for (name, panel_bars), (panel,) in zip(bars.items(), panels, strict=True):
        draw(panel, name, panel_bars)
    cores, processor = report["machine"]["cores"], report["machine"]["processor"]
    figure.suptitle(
        f"{report['title']}: {'seconds' if draws_seconds else 'thousand rows per second'}, {cores} cores ({processor})",
        x=0.01, ha="left", size=11,
    )  # fmt: skip
    figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar with a name on its left and a label on its right."""

    name: str
    length: float
    label: str
    color: str
    ours: bool = False


def speeds_of(results: list[dict[str, Any]]) -> list[Bar]:
    """Returns each contender's rows per second, from its run with the most rows, slowest first."""
    largest: dict[str, dict[str, Any]] = {}
    for result in sorted(results, key=lambda result: result["rows"]):
        largest[result["contender"]] = result
    bars = []
    for result in sorted(largest.values(), key=lambda result: result["rows_per_second"]):
        name, speed = result["contender"], result["rows_per_second"]
        color = OURS_COLOR if name == OURS else BOUND_COLOR if BOUND in name else PEER_COLOR
        memory = f", {result['peak_bytes'] / 1e6:,.0f} MB memory" if result["peak_bytes"] else ""
        label = f"{speed / 1000:,.0f}  ({result['rows']:,} rows{memory})"
        bars.append(Bar(name=name, length=speed, label=label, color=color, ours=name == OURS))
    return bars


def seconds_of(results: list[dict[str, Any]]) -> list[Bar]:
    """Returns each result's seconds, last result first, because the first bar is at the bottom."""
    return [
        Bar(
            name=result["contender"],
            length=result["seconds"],
            label=f"{result['seconds']:.2f}",
            color=PEER_COLOR if result["contender"].endswith(COMMAND) else OURS_COLOR,
        )
        for result in reversed(results)
    ]


def draw(panel: Any, name: str, bars: list[Bar]) -> None:
    longest = max(bar.length for bar in bars)
    for position, bar in enumerate(bars):
        panel.barh(position, bar.length, color=bar.color, height=0.7)
        panel.text(
            bar.length + longest * 0.01, position, bar.label,
            va="center", color=INK if bar.ours else MUTED, weight="bold" if bar.ours else "normal",
        )  # fmt: skip
    panel.set_yticks(range(len(bars)), [bar.name for bar in bars])
    panel.set_title(name, loc="left", size=10, weight="bold", color=INK)
    panel.set_xlim(0, longest * 1.75)
    panel.xaxis.set_visible(False)
    panel.tick_params(axis="y", length=0, colors=INK)
    for side in panel.spines.values():
        side.set_visible(False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
