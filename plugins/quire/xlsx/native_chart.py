"""Inserts native Excel charts into static sheets.

Excel updates the charts when their tables change, and users can edit the charts.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from xlsxwriter import Workbook as Book
from xlsxwriter.worksheet import Worksheet

from quire.errors import WorkbookError
from quire.xlsx.chart_points import chart_heading, charted_rows, needs_marks
from quire.xlsx.model import Chart, TableSheet
from quire.xlsx.styles import CHART_COLORS, LINE

KINDS = ("column", "bar", "line", "area", "pie", "scatter")
FROM_ZERO = ("column", "bar", "area")  # if the axis did not start at 0, sizes would be misleading
BAR_HEIGHT = 20


def insert_chart(book: Book, page: Worksheet, sheet: TableSheet, *, model: Chart, header_row: int) -> None:
    """Inserts a chart next to its table.

    Args:
        book: the workbook.
        page: the worksheet that contains the table.
        sheet: the table.
        model: the chart's kind and columns.
        header_row: the table's header row, counted from 0.

    Raises:
        WorkbookError: the chart's kind is unknown.
    """
    if model.kind not in KINDS:
        raise WorkbookError(f"unknown chart type {model.kind}. Use one of {', '.join(KINDS)}")
    rows = sheet.table.num_rows
    points = charted_rows(model.kind, rows)
    chart = book.add_chart({"type": model.kind})
    for number, name in enumerate(model.y):
        chart.add_series(_series(sheet, model, name, number=number, first=header_row + 1, last=header_row + points))
    heading = chart_heading(sheet.heading, model.kind, rows)
    chart.set_title({"name": heading, "name_font": {"size": 13, "bold": True}, "overlay": False})
    if model.kind != "pie":
        _format_axes(chart, sheet, model)
    is_single_series = len(model.y) == 1 and model.kind != "pie"
    chart.set_legend({"none": True} if is_single_series else {"position": "bottom"})
    chart.set_size({"width": 720, "height": max(380, BAR_HEIGHT * points) if model.kind == "bar" else 400})
    # below the header row, because Excel prints that row, and anything in it, at the top of every page
    page.insert_chart(header_row + 1, len(sheet.columns) + 1, chart, {"object_position": 3})


def _series(sheet: TableSheet, model: Chart, name: str, *, number: int, first: int, last: int) -> dict[str, Any]:
    names = [column.name for column in sheet.columns]
    x, y = names.index(model.x), names.index(name)
    color = CHART_COLORS[number % len(CHART_COLORS)]
    series: dict[str, Any] = {
        "name": sheet.columns[y].title,
        "categories": [sheet.sheet_name, first, x, last, x],
        "values": [sheet.sheet_name, first, y, last, y],
    }
    mark = {"type": "circle", "size": 6, "fill": {"color": color}, "border": {"none": True}}
    if model.kind == "scatter":
        series["marker"] = mark
    elif model.kind == "line":
        series["line"] = {"color": color, "width": 2.25}
        if needs_marks(sheet.table[name].slice(0, last - first + 1).to_pylist()):
            series["marker"] = mark
    elif model.kind == "area" and first == last:  # a single point has a border, but no area
        series["border"] = {"color": color, "width": 2.25}
    elif model.kind == "pie":  # colors vary by point, not by series
        colors = (CHART_COLORS[point % len(CHART_COLORS)] for point in range(last - first + 1))
        series["points"] = [{"fill": {"color": color}} for color in colors]
    else:
        series["fill"] = {"color": color}
        series["gap"] = 60
    return series


def _format_axes(chart: Any, sheet: TableSheet, model: Chart) -> None:
    columns = {column.name: column for column in sheet.columns}
    x, first = columns[model.x], columns[model.y[0]]
    across: dict[str, Any] = {
        "name": x.title, "name_font": {"bold": False}, "line": {"color": LINE}, "num_font": {"size": 9},
    }  # fmt: skip
    if model.kind not in ("bar", "scatter"):
        across["label_position"] = "low"  # below negative values
    if x.number_format:
        across["num_format"] = x.number_format
    up: dict[str, Any] = {
        "num_font": {"size": 9},
        "line": {"none": True},
        "major_gridlines": {"visible": True, "line": {"color": "#E3E8ED"}},
    }
    if first.number_format:  # XlsxWriter would write None as a format code
        up["num_format"] = first.number_format
    if model.kind in FROM_ZERO and all(_is_never_negative(sheet.table[name]) for name in model.y):
        up["min"] = 0
    if len(model.y) == 1:
        up |= {"name": first.title, "name_font": {"bold": False}}
    if model.kind == "bar":  # the bars are horizontal, with the first row at the top
        across["reverse"] = True
        up["label_position"] = "high"
        across, up = up, across
    chart.set_x_axis(across)
    chart.set_y_axis(up)


def _is_never_negative(values: pa.ChunkedArray) -> bool:
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return False
    minimum = pc.min(values).as_py()
    return minimum is None or bool(minimum >= 0)
