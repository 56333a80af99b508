"""Draws benchmark results as PNG and SVG next to their JSON: ``picture.py RESULTS.json``, in the peers' environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

OURS, OURS_COLOR, PEER_COLOR, BOUND_COLOR = "quire", "#1F5A85", "#B8C2CC", "#E8EDF2"
INK, MUTED = "#1F2933", "#66727F"
BOUND = "alone"  # occurs in the names of bounds, which are not contenders


def main(path: Path) -> None:
    report = json.loads(path.read_text())
    tables: dict[str, list[dict[str, Any]]] = {}
    for result in report["results"]:
        tables.setdefault(result["table"], []).append(result)
    mpl.rcParams.update({"font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "svg.hashsalt": "quire"})
    heights = [len(largest_runs(results)) for results in tables.values()]
    figure, panels = pyplot.subplots(
        len(tables), 1, figsize=(8.5, 0.32 * sum(heights) + 0.75 * len(tables) + 0.5),
        gridspec_kw={"height_ratios": heights}, squeeze=False, layout="constrained",
    )  # fmt: skip
    for (name, results), (panel,) in zip(tables.items(), panels, strict=True):
        draw(panel, name, largest_runs(results))
    cores, processor = report["machine"]["cores"], report["machine"]["processor"]
    figure.suptitle(
        f"{report['title']}: thousand rows per second, {cores} cores ({processor})", x=0.01, ha="left", size=11
    )
    figure.savefig(path.with_suffix(".png"), dpi=150, metadata={"Software": None})
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def largest_runs(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns each contender's run with the most rows, slowest first."""
    largest: dict[str, dict[str, Any]] = {}
    for result in sorted(results, key=lambda result: result["rows"]):
        largest[result["contender"]] = result
    return sorted(largest.values(), key=lambda result: result["rows_per_second"])


def draw(panel: Any, name: str, results: list[dict[str, Any]]) -> None:
    fastest = max(result["rows_per_second"] for result in results)
    for position, result in enumerate(results):
        speed, ours = result["rows_per_second"], result["contender"] == OURS
        color = OURS_COLOR if ours else BOUND_COLOR if BOUND in result["contender"] else PEER_COLOR
        panel.barh(position, speed, color=color, height=0.7)
        memory = f", {result['peak_bytes'] / 1e6:,.0f} MB memory" if result["peak_bytes"] else ""
        panel.text(
            speed + fastest * 0.01, position, f"{speed / 1000:,.0f}  ({result['rows']:,} rows{memory})",
            va="center", color=INK if ours else MUTED, weight="bold" if ours else "normal",
        )  # fmt: skip
    panel.set_yticks(range(len(results)), [result["contender"] for result in results])
    panel.set_title(name, loc="left", size=10, weight="bold", color=INK)
    panel.set_xlim(0, fastest * 1.75)
    panel.xaxis.set_visible(False)
    panel.tick_params(axis="y", length=0, colors=INK)
    for side in panel.spines.values():
        side.set_visible(False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
