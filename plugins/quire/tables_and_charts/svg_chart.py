"""Draws a summary's chart as SVG; the page's style sheet sets the colors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from quire.tables_and_charts.chart_data import ChartData, Series, chart_data
from quire.tables_and_charts.chart_marks import (
    COLORS,
    WIDTH,
    Drawing,
    draw_bars,
    draw_columns,
    draw_lines,
    draw_pie,
    draw_points,
    scale_overhang,
)
from quire.xlsx.chart_points import chart_heading
from quire.xlsx.model import TableSheet

LEGEND_ROW, CHARACTER_WIDTH = 22, 7  # a legend row's height, and a character's width
DRAWINGS: Mapping[str, Callable[[ChartData], Drawing]] = {
    "column": draw_columns,
    "bar": draw_bars,
    "line": draw_lines,
    "area": lambda data: draw_lines(data, is_filled=True),
    "pie": draw_pie,
    "scatter": draw_points,
}


def draw_chart(
    sheet: TableSheet, cells: Mapping[str, Sequence[Any]], formats: Mapping[str, str], *, total_rows: int
) -> str:
    """Returns a summary sheet's chart as SVG, or an empty string if the sheet has no chart or the chart has no numbers.

    Args:
        sheet: the sheet, including its table.
        cells: the cell values in each column, as in the workbook.
        formats: each column's format code.
        total_rows: how many rows the summary has in total; the sheet and the chart contain only the first rows.
    """
    data = chart_data(sheet, cells, formats)
    if data is None or sheet.chart is None:
        return ""
    kind = sheet.chart.kind
    body, height = DRAWINGS[kind](data)
    left = 0.0 if kind in ("bar", "pie") else scale_overhang(data)
    legend, above = ("", 0) if kind == "pie" else _legend(data.series)
    heading = chart_heading(sheet.heading, kind, total_rows)
    label = escape(f"{heading}: {', '.join(measure.title for measure in data.series)} by {data.x_title}")
    return (
        f'<svg class="chart {kind}" viewBox="{-left:.0f} {-above} {WIDTH + left:.0f} {height + above:.0f}" '
        f'role="img" aria-label="{label}"><title>{label}</title>{legend}{"".join(body)}</svg>'
    )


def _legend(series: Sequence[Series]) -> tuple[str, int]:
    """Returns the legend above the chart and its height; a single series has no legend."""
    if len(series) == 1:
        return "", 0
    rows = list(_legend_rows(series))
    above = LEGEND_ROW * len(rows) + 8
    parts = []
    for position, row in enumerate(rows):
        y = LEGEND_ROW * position - above + 10
        for number, x, title in row:
            parts.append(f'<rect class="series{number % COLORS}" x="{x}" y="{y - 6}" width="12" height="12" rx="2"/>')
            parts.append(f'<text x="{x + 18}" y="{y}">{escape(title)}</text>')
    return "".join(parts), above


def _legend_rows(series: Sequence[Series]) -> Iterator[list[tuple[int, int, str]]]:
    row: list[tuple[int, int, str]] = []
    x = 0
    for number, measure in enumerate(series):
        width = 30 + CHARACTER_WIDTH * len(measure.title)
        if row and x + width > WIDTH:
            yield row
            row, x = [], 0
        row.append((number, x, measure.title))
        x += width
    yield row
