"""Draws the marks in page charts: columns, bars, lines, areas, slices and points, with their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from quire.tables_and_charts.chart_data import ChartData, Series
from quire.tables_and_charts.chart_scale import round_ticks, scale_ends, tick_texts
from quire.xlsx.chart_points import needs_marks

WIDTH, HEIGHT, BAR = 760, 240, 18
LABEL_WIDTH, VALUE_WIDTH, MAX_LABEL_LENGTH = 180, 90, 26
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 28  # the margins of charts with columns, lines or points
SLANTED_BOTTOM = 118  # the bottom margin if the labels are slanted because they do not fit side by side
CHARACTER_WIDTH = 6.5
COLORS = 6
RADIUS = 100
Drawing = tuple[list[str], float]


def draw_bars(data: ChartData) -> Drawing:
    """Draws a group of horizontal bars for each row, and writes each value at the end of its bar."""
    low, high = scale_ends(data.series)
    scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / (high - low)
    zero = LABEL_WIDTH - low * scale
    parts = []
    y = 0
    for row, label in enumerate(data.labels):
        middle = y + BAR * len(data.series) / 2
        parts.append(f'<text class="end" x="{LABEL_WIDTH - 8}" y="{middle:.1f}">{escape(shorten(label))}</text>')
        for number, measure in enumerate(data.series):
            length = (measure.values[row] or 0.0) * scale
            parts.append(
                f'<rect class="series{number % COLORS}" x="{zero + min(0.0, length):.1f}" y="{y + 2}" '
                f'width="{abs(length):.1f}" height="{BAR - 4}">{_hint(label, measure, row)}</rect>'
                f'<text x="{max(zero, zero + length) + 6:.1f}" y="{y + BAR / 2:.1f}">'
                f"{escape(measure.texts[row])}</text>"
            )
            y += BAR
        y += 4
    return parts, float(y)


def draw_columns(data: ChartData) -> Drawing:
    """Draws a group of columns for each row, and writes the row labels below the columns."""
    ticks = round_ticks(*scale_ends(data.series))
    low, high = ticks[0], ticks[-1]
    parts = _grid(ticks, data.y_format)
    group = (WIDTH - LEFT - RIGHT) / len(data.labels)
    width = group * 0.75 / len(data.series)
    for row in range(len(data.labels)):
        for number, measure in enumerate(data.series):
            value = measure.values[row] or 0.0
            x = LEFT + row * group + group * 0.125 + number * width
            top, foot = _level(max(value, 0.0), low, high), _level(min(value, 0.0), low, high)
            parts.append(
                f'<rect class="series{number % COLORS}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{foot - top:.1f}">{_hint(data.labels[row], measure, row)}</rect>'
            )
    labels, bottom = _column_labels(data.labels, group)
    return parts + labels, HEIGHT - BOTTOM + bottom


def _column_labels(labels: Sequence[str], group: float) -> tuple[list[str], int]:
    """Returns the labels below columns and their height; labels that do not fit side by side are slanted."""
    texts = [shorten(label) for label in labels]
    y = HEIGHT - BOTTOM + 14
    if max(map(len, texts)) * CHARACTER_WIDTH <= group:
        return [
            f'<text class="middle" x="{LEFT + (row + 0.5) * group:.1f}" y="{y}">{escape(text)}</text>'
            for row, text in enumerate(texts)
        ], BOTTOM
    parts = []
    for row, text in enumerate(texts):
        x = LEFT + (row + 0.5) * group
        parts.append(f'<text class="end" x="{x:.1f}" y="{y}" transform="rotate(-45 {x:.1f} {y})">{escape(text)}</text>')
    return parts, SLANTED_BOTTOM


def draw_lines(data: ChartData, *, is_filled: bool = False) -> Drawing:
    """Draws a line for each series, with evenly spaced rows and with gaps for missing values.

    Only the first row and the last row have labels. If ``is_filled``, fills the area between the line and zero.
    """
    ticks = round_ticks(*scale_ends(data.series))
    low, high = ticks[0], ticks[-1]
    parts = _grid(ticks, data.y_format)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(data.labels) - 1)
    zero = _level(0.0, low, high)
    for number, measure in enumerate(data.series):
        color = number % COLORS
        points = [
            None if value is None else (LEFT + row * step, _level(value, low, high))
            for row, value in enumerate(measure.values)
        ]
        for run in _runs(points):
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            if is_filled:
                line_down = f"{run[-1][0]:.1f},{zero:.1f} {run[0][0]:.1f},{zero:.1f}"
                parts.append(f'<polygon class="area{color}" points="{line} {line_down}"/>')
            parts.append(f'<polyline class="line{color}" points="{line}"/>')
        if needs_marks(measure.values):
            parts += _line_marks(data, measure, color, points=points)
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 10}">{escape(shorten(data.labels[0]))}</text>')
    if len(data.labels) > 1:
        last = escape(shorten(data.labels[-1]))
        parts.append(f'<text class="end" x="{WIDTH - RIGHT}" y="{HEIGHT - 10}">{last}</text>')
    return parts, float(HEIGHT)


def _line_marks(
    data: ChartData, measure: Series, color: int, *, points: Sequence[tuple[float, float] | None]
) -> list[str]:
    return [
        f'<circle class="series{color}" cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="3.5">'
        f"{_hint(data.labels[row], measure, row)}</circle>"
        for row, point in enumerate(points)
        if point
    ]


def _runs(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Splits the points at missing values into continuous runs."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point:
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def draw_points(data: ChartData) -> Drawing:
    """Draws a point for each value, at the row's x value, or at the row's number if no row has a numeric x value."""
    positions = data.positions
    if not any(position is not None for position in positions):
        positions = [float(number) for number in range(1, len(positions) + 1)]
    ticks = round_ticks(*scale_ends(data.series))
    parts = _grid(ticks, data.y_format)
    numbers = [position for position in positions if position is not None]
    x_ticks = round_ticks(min(numbers), max(numbers))
    scale = (WIDTH - LEFT - RIGHT) / (x_ticks[-1] - x_ticks[0])
    for number, measure in enumerate(data.series):
        for row, (position, value) in enumerate(zip(positions, measure.values, strict=True)):
            if position is not None and value is not None:
                x, y = LEFT + (position - x_ticks[0]) * scale, _level(value, ticks[0], ticks[-1])
                hint = _hint(data.labels[row], measure, row)
                parts.append(f'<circle class="series{number % COLORS}" cx="{x:.1f}" cy="{y:.1f}" r="4">{hint}</circle>')
    for tick, text in zip(x_ticks, tick_texts(x_ticks, data.x_format), strict=True):
        x = LEFT + (tick - x_ticks[0]) * scale
        parts.append(f'<text class="middle" x="{x:.1f}" y="{HEIGHT - 14}">{escape(text)}</text>')
    title = escape(data.x_title)
    parts.append(f'<text class="end" x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM - 8}">{title}</text>')
    return parts, float(HEIGHT)


def draw_pie(data: ChartData) -> Drawing:
    """Draws a pie slice for each row, clockwise from the top, and a legend with the labels and values."""
    (measure, *_) = data.series
    sizes = [abs(value or 0.0) for value in measure.values]
    total = sum(sizes) or 1.0
    height = max(2 * RADIUS + 2 * TOP, (BAR + 4) * len(sizes) + TOP)
    center_x, center_y = LEFT + RADIUS, TOP + RADIUS
    parts = []
    start = 0.0
    for row, size in enumerate(sizes):
        stop = start + size / total
        hint = _hint(data.labels[row], measure, row)
        color = row % COLORS
        if size:
            path = _slice(center_x, center_y, start=start, stop=stop)
            parts.append(f'<path class="series{color} slice" d="{path}">{hint}</path>')
        y = TOP + row * (BAR + 4) + BAR / 2
        x = center_x + RADIUS + 60
        text = f"{shorten(data.labels[row])}: {measure.texts[row]} ({size / total:.1%})"
        parts.append(f'<rect class="series{color}" x="{x}" y="{y - 6:.1f}" width="12" height="12" rx="2"/>')
        parts.append(f'<text x="{x + 18}" y="{y:.1f}">{escape(text)}</text>')
        start = stop
    return parts, float(height)


def _slice(x: float, y: float, *, start: float, stop: float) -> str:
    """Returns the SVG path for a pie slice from ``start`` to ``stop``, which are fractions of the circle."""
    if stop - start > 0.9999:
        return f"M{x} {y - RADIUS}a{RADIUS} {RADIUS} 0 1 1 0 {2 * RADIUS}a{RADIUS} {RADIUS} 0 1 1 0 {-2 * RADIUS}z"
    ends = [(x + RADIUS * math.sin(turn * math.tau), y - RADIUS * math.cos(turn * math.tau)) for turn in (start, stop)]
    is_large = int(stop - start > 0.5)
    (x0, y0), (x1, y1) = ends
    return f"M{x} {y}L{x0:.2f} {y0:.2f}A{RADIUS} {RADIUS} 0 {is_large} 1 {x1:.2f} {y1:.2f}z"


def _grid(ticks: Sequence[float], code: str) -> list[str]:
    """Returns horizontal grid lines with their tick labels."""
    parts = []
    for tick, text in zip(ticks, tick_texts(ticks, code), strict=True):
        y = _level(tick, ticks[0], ticks[-1])
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="end" x="{LEFT - 8}" y="{y:.1f}">{escape(text)}</text>')
    return parts


def scale_overhang(data: ChartData) -> float:
    """Returns how far the y scale's labels extend beyond the chart's left edge."""
    texts = tick_texts(round_ticks(*scale_ends(data.series)), data.y_format)
    return max(0.0, max(map(len, texts)) * CHARACTER_WIDTH - (LEFT - 8))


def _hint(label: str, measure: Series, row: int) -> str:
    """Returns a mark's tooltip."""
    return f"<title>{escape(f'{label}: {measure.texts[row]}')}</title>"


def _level(value: float, low: float, high: float) -> float:
    return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def shorten(label: str) -> str:
    """Truncates a label so that it fits next to a chart."""
    return label if len(label) <= MAX_LABEL_LENGTH else f"{label[: MAX_LABEL_LENGTH - 1]}…"
