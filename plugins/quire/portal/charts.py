"""A summary's chart as SVG: bars, or a line over time. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from quire.xlsx.model import TableSheet

MOST_POINTS = 24  # bars that can be told apart
MOST_SERIES = 4
WIDTH, LINE_HEIGHT, BAR = 640, 220, 18
LABEL_WIDTH, VALUE_WIDTH, LETTERS = 170, 90, 24
LINES = {"line", "area", "scatter"}
Shown = Callable[[Any, str | None], str]


def draw_chart(sheet: TableSheet, shown: Shown) -> str:
    """Returns the chart of a small sheet as SVG; nothing where it has none, or nothing to show.

    Args:
        sheet: with its table.
        shown: how a value is written, given its number format.
    """
    if sheet.chart is None or not sheet.table.num_rows:
        return ""
    formats = {column.name: column.number_format for column in sheet.columns}
    titles = {column.name: column.title for column in sheet.columns}
    labels = [shown(value, formats[sheet.chart.x]) for value in sheet.table[sheet.chart.x].to_pylist()]
    names = list(sheet.chart.y)[:MOST_SERIES]
    series = [[_finite(value) for value in sheet.table[name].to_pylist()] for name in names]
    if sheet.chart.kind in LINES or len(labels) > MOST_POINTS:
        body, height = _lines(labels, series)
    else:
        texts = [[shown(value, formats[name]) for value in sheet.table[name].to_pylist()] for name in names]
        body, height = _bars(labels, series, texts)
    named = escape(f"{sheet.heading}: {', '.join(titles[name] for name in names)} by {titles[sheet.chart.x]}")
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{named}">'
        f"<title>{named}</title>{body}</svg>"
    )


def _finite(value: Any) -> float:
    number = 0.0 if value is None else float(value)
    return number if math.isfinite(number) else 0.0


def _bars(labels: Sequence[str], series: Sequence[Sequence[float]], texts: Sequence[Sequence[str]]) -> tuple[str, int]:
    """Returns horizontal bars from a common zero, a group for each label, with their values behind them."""
    low = min(0.0, *(value for values in series for value in values))
    high = max(0.0, *(value for values in series for value in values)) or 1.0
    scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / ((high - low) or 1.0)
    zero = LABEL_WIDTH - low * scale
    found, y = [], 0
    for place, label in enumerate(labels):
        middle = y + BAR * len(series) / 2
        found.append(f'<text class="label" x="{LABEL_WIDTH - 8}" y="{middle:.1f}">{escape(_short(label))}</text>')
        for number, values in enumerate(series):
            length = values[place] * scale
            start = zero + min(0.0, length)
            found.append(
                f'<rect class="series{number}" x="{start:.1f}" y="{y + 2}" '
                f'width="{abs(length):.1f}" height="{BAR - 4}"/>'
                f'<text class="value" x="{max(zero, zero + length) + 6:.1f}" y="{y + BAR / 2:.1f}">'
                f"{escape(texts[number][place])}</text>"
            )
            y += BAR
        y += 4
    return "".join(found), y


def _lines(labels: Sequence[str], series: Sequence[Sequence[float]]) -> tuple[str, int]:
    """Returns a line for each series over evenly spread labels, of which the first and the last are told."""
    low = min(0.0, *(value for values in series for value in values))
    high = max(0.0, *(value for values in series for value in values)) or 1.0
    top, bottom, left = 10, LINE_HEIGHT - 26, 70
    step = (WIDTH - left - 10) / max(1, len(labels) - 1)
    scale = (bottom - top) / ((high - low) or 1.0)
    found = []
    for value in (low, (low + high) / 2, high):
        y = bottom - (value - low) * scale
        found.append(
            f'<line class="grid" x1="{left}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="label" x="{left - 8}" y="{y:.1f}">{value:,.4g}</text>'
        )
    for number, values in enumerate(series):
        points = " ".join(
            f"{left + place * step:.1f},{bottom - (value - low) * scale:.1f}" for place, value in enumerate(values)
        )
        found.append(f'<polyline class="line{number}" points="{points}"/>')
    found.append(f'<text class="first" x="{left}" y="{LINE_HEIGHT - 6}">{escape(_short(labels[0]))}</text>')
    found.append(f'<text class="label" x="{WIDTH - 10}" y="{LINE_HEIGHT - 10}">{escape(_short(labels[-1]))}</text>')
    return "".join(found), LINE_HEIGHT


def _short(label: str) -> str:
    return label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"
