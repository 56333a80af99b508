"""A summary's chart as SVG: bars, lines over time, or points. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Any

from quire.xlsx.model import TableSheet

MOST_BARS = 24  # that can be told apart
MOST_SERIES = 4
MOST_POINTS = 1_000  # a page stays small; the workbook's chart has them all
WIDTH, HEIGHT, BAR = 760, 240, 18
LABEL_WIDTH, VALUE_WIDTH, LETTERS = 180, 90, 26
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 28  # around lines and points
LARGEST, SMALLEST = 1e100, 1e-100
LINES = {"line", "area"}
Shown = Callable[[Any, str], str]


@dataclass(frozen=True, slots=True)
class _Series:
    """One measure: its values as numbers and as texts, a missing one as None."""

    title: str
    values: list[float | None]
    texts: list[str]


def draw_chart(sheet: TableSheet, formats: Mapping[str, str], shown: Shown) -> str:
    """Returns the chart of a small sheet as SVG; nothing where it has none, or nothing to show.

    Args:
        sheet: with its table.
        formats: each column's number format.
        shown: how a value is written, given its number format.
    """
    if sheet.chart is None or not 0 < sheet.table.num_rows <= MOST_POINTS:
        return ""
    columns = {column.name: column for column in sheet.columns}
    across = columns[sheet.chart.x]
    places = sheet.table[across.name].to_pylist()
    labels = [shown(value, formats[across.name]) for value in places]
    series = []
    for name in list(sheet.chart.y)[:MOST_SERIES]:
        found = sheet.table[name].to_pylist()
        texts = [shown(value, formats[name]) for value in found]
        series.append(_Series(columns[name].title, [_finite(value) for value in found], texts))
    numbers = [_finite(value) for value in places]
    if not any(value is not None for one in series for value in one.values):
        return ""  # measures of dates and texts have no lengths
    if sheet.chart.kind == "scatter" and any(number is not None for number in numbers):
        body, height = "".join(_points(numbers, series, across.title)), HEIGHT
    elif sheet.chart.kind in LINES or len(labels) > MOST_BARS:
        body, height = "".join(_lines(labels, series)), HEIGHT
    else:
        body, height = "".join(_bars(labels, series)), len(labels) * (BAR * len(series) + 4)
    legend, above = _legend(series)
    named = escape(f"{sheet.heading}: {', '.join(one.title for one in series)} by {across.title}")
    return (
        f'<svg class="chart" viewBox="0 {-above} {WIDTH} {height + above}" role="img" aria-label="{named}">'
        f"<title>{named}</title>{legend}{body}</svg>"
    )


def _finite(value: Any) -> float | None:
    """Returns a number that can be drawn; None for what is none, and for those of another world's size."""
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return None
    number = float(value)
    return number if abs(number) < LARGEST else None


def _legend(series: Sequence[_Series]) -> tuple[str, int]:
    """Returns what tells several series apart, and its height above the chart."""
    if len(series) == 1:
        return "", 0
    found, x = [], 0
    for number, one in enumerate(series):
        found.append(f'<rect class="series{number}" x="{x}" y="-20" width="12" height="12" rx="2"/>')
        found.append(f'<text x="{x + 18}" y="-14">{escape(one.title)}</text>')
        x += 30 + 7 * len(one.title)
    return "".join(found), 30


def _bars(labels: Sequence[str], series: Sequence[_Series]) -> Iterator[str]:
    """Gives horizontal bars from a common zero, a group for each label, with their values behind them."""
    low, high = _ends(series)
    scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / (high - low)
    zero = LABEL_WIDTH - low * scale
    y = 0
    for place, label in enumerate(labels):
        middle = y + BAR * len(series) / 2
        yield f'<text class="end" x="{LABEL_WIDTH - 8}" y="{middle:.1f}">{escape(_short(label))}</text>'
        for number, one in enumerate(series):
            length = (one.values[place] or 0.0) * scale
            yield (
                f'<rect class="series{number}" x="{zero + min(0.0, length):.1f}" y="{y + 2}" '
                f'width="{abs(length):.1f}" height="{BAR - 4}"/>'
                f'<text x="{max(zero, zero + length) + 6:.1f}" y="{y + BAR / 2:.1f}">{escape(one.texts[place])}</text>'
            )
            y += BAR
        y += 4


def _lines(labels: Sequence[str], series: Sequence[_Series]) -> Generator[str, None, None]:
    """Gives a line for each series over evenly spread labels, of which the first and the last are told."""
    low, high = yield from _grid(series)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(labels) - 1)
    for number, one in enumerate(series):
        points = " ".join(
            f"{LEFT + place * step:.1f},{_level(value, low, high):.1f}"
            for place, value in enumerate(one.values)
            if value is not None
        )
        yield f'<polyline class="line{number}" points="{points}"/>'
    yield f'<text x="{LEFT}" y="{HEIGHT - 10}">{escape(_short(labels[0]))}</text>'
    if len(labels) > 1:
        yield f'<text class="end" x="{WIDTH - RIGHT}" y="{HEIGHT - 10}">{escape(_short(labels[-1]))}</text>'


def _points(places: Sequence[float | None], series: Sequence[_Series], title: str) -> Generator[str, None, None]:
    """Gives a point for each value over numbers, of which the ends are told."""
    low, high = yield from _grid(series)
    known = [place for place in places if place is not None]
    ticks = _ticks(min(known), max(known))
    scale = (WIDTH - LEFT - RIGHT) / (ticks[-1] - ticks[0])
    for number, one in enumerate(series):
        for place, value in zip(places, one.values, strict=True):
            if place is not None and value is not None:
                x = LEFT + (place - ticks[0]) * scale
                yield f'<circle class="series{number}" cx="{x:.1f}" cy="{_level(value, low, high):.1f}" r="4"/>'
    for tick in ticks:
        x = LEFT + (tick - ticks[0]) * scale
        yield f'<text class="middle" x="{x:.1f}" y="{HEIGHT - 14}">{tick:,.6g}</text>'
    yield f'<text class="end" x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM - 8}">{escape(title)}</text>'


def _grid(series: Sequence[_Series]) -> Generator[str, None, tuple[float, float]]:
    """Gives horizontal lines at round values, and returns the least and the most of those."""
    ticks = _ticks(*_ends(series))
    for tick in ticks:
        y = _level(tick, ticks[0], ticks[-1])
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="end" x="{LEFT - 8}" y="{y:.1f}">{tick:,.6g}</text>'
    return ticks[0], ticks[-1]


def _level(value: float, low: float, high: float) -> float:
    return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _ends(series: Sequence[_Series]) -> tuple[float, float]:
    """Returns the least and the most of all values and zero, which are never the same."""
    values = [value for one in series for value in one.values if value is not None]
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
    return low, high if high - low > SMALLEST else low + 1.0


def _ticks(low: float, high: float) -> list[float]:
    """Returns four or so round values that reach from one end to the other."""
    rough = max(high - low, abs(high) * 1e-9, SMALLEST) / 3
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(round_step * size for round_step in (1, 2, 2.5, 5, 10) if round_step * size >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _short(label: str) -> str:
    return label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"
