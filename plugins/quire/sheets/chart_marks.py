"""Draws the marks of a page's charts: columns, bars, lines, areas, slices and points, with their texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from quire.sheets.chart_data import ChartData, Series
from quire.sheets.chart_scale import round_ticks, scale_ends, tick_texts
from quire.xlsx.chart_points import needs_marks

WIDTH, HEIGHT, BAR = 760, 240, 18
LABEL_WIDTH, VALUE_WIDTH, LETTERS = 180, 90, 26
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 28  # around columns, lines and points
SLANTED_BOTTOM = 118  # below columns whose names do not fit side by side
LETTER_WIDTH = 6.5
COLOURS = 6
RADIUS = 100
Drawn = tuple[list[str], float]


def draw_bars(data: ChartData) -> Drawn:
    """Draws horizontal bars, a group per row, with their values at the end."""
    low, high = scale_ends(data.series)
    scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / (high - low)
    zero = LABEL_WIDTH - low * scale
    parts = []
    y = 0
    for place, label in enumerate(data.labels):
        middle = y + BAR * len(data.series) / 2
        parts.append(f'<text class="end" x="{LABEL_WIDTH - 8}" y="{middle:.1f}">{escape(shorten(label))}</text>')
        for number, one in enumerate(data.series):
            length = (one.values[place] or 0.0) * scale
            parts.append(
                f'<rect class="series{number % COLOURS}" x="{zero + min(0.0, length):.1f}" y="{y + 2}" '
                f'width="{abs(length):.1f}" height="{BAR - 4}">{_hint(label, one, place)}</rect>'
                f'<text x="{max(zero, zero + length) + 6:.1f}" y="{y + BAR / 2:.1f}">{escape(one.texts[place])}</text>'
            )
            y += BAR
        y += 4
    return parts, float(y)


def draw_columns(data: ChartData) -> Drawn:
    """Draws columns, a group per row, with the rows' labels below."""
    ticks = round_ticks(*scale_ends(data.series))
    low, high = ticks[0], ticks[-1]
    parts = _grid(ticks, data.y_format)
    group = (WIDTH - LEFT - RIGHT) / len(data.labels)
    width = group * 0.75 / len(data.series)
    for place in range(len(data.labels)):
        for number, one in enumerate(data.series):
            value = one.values[place] or 0.0
            x = LEFT + place * group + group * 0.125 + number * width
            top, foot = _level(max(value, 0.0), low, high), _level(min(value, 0.0), low, high)
            parts.append(
                f'<rect class="series{number % COLOURS}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{foot - top:.1f}">{_hint(data.labels[place], one, place)}</rect>'
            )
    labels, bottom = _column_labels(data.labels, group)
    return parts + labels, HEIGHT - BOTTOM + bottom


def _column_labels(labels: Sequence[str], group: float) -> tuple[list[str], int]:
    """Returns the labels below columns, slanted if they do not fit side by side, and their height."""
    shown = [shorten(label) for label in labels]
    y = HEIGHT - BOTTOM + 14
    if max(map(len, shown)) * LETTER_WIDTH <= group:
        return [
            f'<text class="middle" x="{LEFT + (place + 0.5) * group:.1f}" y="{y}">{escape(text)}</text>'
            for place, text in enumerate(shown)
        ], BOTTOM
    parts = []
    for place, text in enumerate(shown):
        x = LEFT + (place + 0.5) * group
        parts.append(f'<text class="end" x="{x:.1f}" y="{y}" transform="rotate(-45 {x:.1f} {y})">{escape(text)}</text>')
    return parts, SLANTED_BOTTOM


def draw_lines(data: ChartData, *, is_filled: bool = False) -> Drawn:
    """Draws a line per series over evenly spaced rows, with gaps for missing values.

    Only the first and last row are labeled. With ``is_filled``, the area down to zero is filled.
    """
    ticks = round_ticks(*scale_ends(data.series))
    low, high = ticks[0], ticks[-1]
    parts = _grid(ticks, data.y_format)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(data.labels) - 1)
    zero = _level(0.0, low, high)
    for number, one in enumerate(data.series):
        colour = number % COLOURS
        points = [
            None if value is None else (LEFT + place * step, _level(value, low, high))
            for place, value in enumerate(one.values)
        ]
        for run in _runs(points):
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            if is_filled:
                line_down = f"{run[-1][0]:.1f},{zero:.1f} {run[0][0]:.1f},{zero:.1f}"
                parts.append(f'<polygon class="area{colour}" points="{line} {line_down}"/>')
            parts.append(f'<polyline class="line{colour}" points="{line}"/>')
        if needs_marks(one.values):
            parts += _line_marks(data, one, colour, points)
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 10}">{escape(shorten(data.labels[0]))}</text>')
    if len(data.labels) > 1:
        last = escape(shorten(data.labels[-1]))
        parts.append(f'<text class="end" x="{WIDTH - RIGHT}" y="{HEIGHT - 10}">{last}</text>')
    return parts, float(HEIGHT)


def _line_marks(data: ChartData, one: Series, colour: int, points: Sequence[tuple[float, float] | None]) -> list[str]:
    return [
        f'<circle class="series{colour}" cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="3.5">'
        f"{_hint(data.labels[place], one, place)}</circle>"
        for place, point in enumerate(points)
        if point
    ]


def _runs(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Returns the runs of points without gaps."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point:
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def draw_points(data: ChartData) -> Drawn:
    """Draws a point per value on a scale of the x values, or of row numbers if the x values are no numbers."""
    places = data.places
    if not any(place is not None for place in places):
        places = [float(number) for number in range(1, len(places) + 1)]
    ticks = round_ticks(*scale_ends(data.series))
    parts = _grid(ticks, data.y_format)
    known = [place for place in places if place is not None]
    across = round_ticks(min(known), max(known))
    scale = (WIDTH - LEFT - RIGHT) / (across[-1] - across[0])
    for number, one in enumerate(data.series):
        for row, (place, value) in enumerate(zip(places, one.values, strict=True)):
            if place is not None and value is not None:
                x, y = LEFT + (place - across[0]) * scale, _level(value, ticks[0], ticks[-1])
                hint = _hint(data.labels[row], one, row)
                parts.append(
                    f'<circle class="series{number % COLOURS}" cx="{x:.1f}" cy="{y:.1f}" r="4">{hint}</circle>'
                )
    for tick, text in zip(across, tick_texts(across, data.x_format), strict=True):
        x = LEFT + (tick - across[0]) * scale
        parts.append(f'<text class="middle" x="{x:.1f}" y="{HEIGHT - 14}">{escape(text)}</text>')
    title = escape(data.x_title)
    parts.append(f'<text class="end" x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM - 8}">{title}</text>')
    return parts, float(HEIGHT)


def draw_pie(data: ChartData) -> Drawn:
    """Draws a slice per row, clockwise from the top, with a legend of labels and values."""
    (one, *_) = data.series
    sizes = [abs(value or 0.0) for value in one.values]
    total = sum(sizes) or 1.0
    height = max(2 * RADIUS + 2 * TOP, (BAR + 4) * len(sizes) + TOP)
    centre_x, centre_y = LEFT + RADIUS, TOP + RADIUS
    parts = []
    start = 0.0
    for place, size in enumerate(sizes):
        stop = start + size / total
        hint = _hint(data.labels[place], one, place)
        colour = place % COLOURS
        if size:
            path = _slice(centre_x, centre_y, start, stop)
            parts.append(f'<path class="series{colour} slice" d="{path}">{hint}</path>')
        y = TOP + place * (BAR + 4) + BAR / 2
        x = centre_x + RADIUS + 60
        text = f"{shorten(data.labels[place])}: {one.texts[place]} ({size / total:.1%})"
        parts.append(f'<rect class="series{colour}" x="{x}" y="{y - 6:.1f}" width="12" height="12" rx="2"/>')
        parts.append(f'<text x="{x + 18}" y="{y:.1f}">{escape(text)}</text>')
        start = stop
    return parts, float(height)


def _slice(x: float, y: float, start: float, stop: float) -> str:
    """Returns the path of a slice between two fractions of the circle."""
    if stop - start > 0.9999:
        return f"M{x} {y - RADIUS}a{RADIUS} {RADIUS} 0 1 1 0 {2 * RADIUS}a{RADIUS} {RADIUS} 0 1 1 0 {-2 * RADIUS}z"
    ends = [
        (x + RADIUS * math.sin(share * math.tau), y - RADIUS * math.cos(share * math.tau)) for share in (start, stop)
    ]
    is_large = int(stop - start > 0.5)
    (x0, y0), (x1, y1) = ends
    return f"M{x} {y}L{x0:.2f} {y0:.2f}A{RADIUS} {RADIUS} 0 {is_large} 1 {x1:.2f} {y1:.2f}z"


def _grid(ticks: Sequence[float], code: str) -> list[str]:
    """Returns horizontal grid lines with the text of their ticks."""
    parts = []
    for tick, text in zip(ticks, tick_texts(ticks, code), strict=True):
        y = _level(tick, ticks[0], ticks[-1])
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{LEFT - 8}" y="{y:.1f}">{escape(text)}</text>')
    return parts


def scale_overhang(data: ChartData) -> float:
    """Returns how far the texts of the y scale extend beyond the left edge."""
    texts = tick_texts(round_ticks(*scale_ends(data.series)), data.y_format)
    return max(0.0, max(map(len, texts)) * LETTER_WIDTH - (LEFT - 8))


def _hint(label: str, one: Series, place: int) -> str:
    """Returns the tooltip of a mark."""
    return f"<title>{escape(f'{label}: {one.texts[place]}')}</title>"


def _level(value: float, low: float, high: float) -> float:
    return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def shorten(label: str) -> str:
    """Returns a label short enough to fit next to a chart."""
    return label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"
