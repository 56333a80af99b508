"""The small sheets, written whole by XlsxWriter: facts for a reader, and tables with their charts."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from xlsxwriter import Workbook as Book
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from quire.errors import WorkbookError
from quire.xlsx.model import FactSection, FactSheet, SheetColumn, TableSheet
from quire.xlsx.names import table_headers
from quire.xlsx.odd_dates import date_text
from quire.xlsx.styles import ACCENT, CHART_COLOURS, LINE, MUTED, Formats, number_format, side_of
from quire.xlsx.text import cut_text
from quire.xlsx.widths import FILTER_BUTTON, NARROWEST, display_width, header_height, header_lines, header_width

MOST_DIGITS = 15
CHARTS = {"column": "column", "bar": "bar", "line": "line", "area": "area", "pie": "pie", "scatter": "scatter"}
FROM_NOTHING = ("column", "bar", "area")  # a length that does not begin at nothing tells a lie
CHART_POINTS = 30  # more of them are unreadable: the chart shows the first, which the summary's order chose
FIRST_DATE = dt.date(1900, 3, 1)


def write_front(book: Book, formats: Formats, sheet: FactSheet | TableSheet) -> Worksheet:
    """Adds one small sheet to a workbook.

    Raises:
        WorkbookError: it does not fit on a sheet.
    """
    page = book.add_worksheet(sheet.sheet_name)
    page.hide_gridlines(2)
    page.set_paper(9)  # A4
    page.fit_to_pages(1, 0)
    page.set_footer("&L&8&A&R&8Page &P of &N")
    if isinstance(sheet, FactSheet):
        _write_facts(page, formats, sheet)
    else:
        page.set_landscape()
        _write_table(book, page, formats, sheet)
    return page


def _write_facts(page: Worksheet, formats: Formats, sheet: FactSheet) -> None:
    widths = _fact_widths(sheet.sections)
    for position, width in enumerate(widths):
        page.set_column(position, position, width)
    page.set_row(0, 30)
    _write(page, 0, 0, sheet.heading, formats.of(bold=True, font_size=18, font_color=ACCENT, valign="vcenter"))
    row = 1
    if sheet.subheading:
        _write(page, row, 0, sheet.subheading, formats.of(font_color=MUTED))
        row += 1
    for section in sheet.sections:
        row = _write_section(page, formats, section, row + 1)


def _write_section(page: Worksheet, formats: Formats, section: FactSection, row: int) -> int:
    """Writes a section from a row on and returns the row behind it."""
    if section.heading:
        _write(page, row, 0, section.heading, formats.of(bold=True, font_size=13))
        row += 1
    for position, title in enumerate(section.header):
        right = position > 0 and all(_is_number(line[position]) for line in section.rows)
        _write(page, row, position, title, formats.header("right" if right else "left"))
    row += bool(section.header)
    for line in section.rows:
        for position, value in enumerate(line):
            if position == 0 and len(line) > 1 and not section.header:
                look = formats.of(font_color=MUTED, valign="vcenter")
            else:
                look = _fact_format(formats, value, in_table=bool(section.header))
            _write(page, row, position, value, look)
        row += 1
    return row


def _fact_format(formats: Formats, value: Any, *, in_table: bool) -> Format:
    look: dict[str, Any] = {"valign": "vcenter", "align": "left", "indent": int(in_table)}
    if _is_number(value) and in_table:
        look = {"valign": "vcenter", "align": "right"}
    if isinstance(value, dt.datetime):
        return formats.of(num_format="yyyy-mm-dd hh:mm:ss", **look)
    if isinstance(value, dt.date):
        return formats.of(num_format="yyyy-mm-dd", **look)
    return formats.of(num_format="#,##0", **look) if _is_number(value) else formats.of(**look)


def _fact_widths(sections: Sequence[FactSection]) -> list[float]:
    widths: dict[int, float] = {0: 22.0, 1: 14.0}
    for section in sections:
        for line in (section.header, *section.rows):
            for position, value in enumerate(line):
                if len(line) > 1 and (position == 0 or section.header):
                    widths[position] = max(widths.get(position, 12.0), min(display_width(str(value)) + 2, 48.0))
    return [widths.get(position, 12.0) for position in range(max(widths) + 1)]


def _write_table(book: Book, page: Worksheet, formats: Formats, sheet: TableSheet) -> None:
    table, columns = sheet.table, sheet.columns
    page.set_row(0, 26)
    _write(page, 0, 0, sheet.heading, formats.of(bold=True, font_size=16, font_color=ACCENT, valign="vcenter"))
    first = 2
    headers = table_headers(column.title for column in columns)
    kinds = [table.schema.field(column.name).type for column in columns]
    shown = [column.number_format or number_format(kind) for column, kind in zip(columns, kinds, strict=True)]
    # An Excel table has at least one row below its header.
    page.add_table(
        first, 0, first + max(1, table.num_rows), len(columns) - 1,
        {
            "style": "Table Style Light 1",
            "columns": [
                {"header": header, "header_format": formats.header(side_of(kind))}
                for header, kind in zip(headers, kinds, strict=True)
            ],
        },
    )  # fmt: skip
    lines = 1
    for position, (column, kind) in enumerate(zip(columns, kinds, strict=True)):
        values = [_plain(value) for value in _values(table, column, kind)]
        width = _table_width(column, headers[position], values)
        lines = max(lines, header_lines(headers[position], width))
        page.set_column(position, position, width)
        for row, value in enumerate(values, first + 1):
            fits = formats.text() if isinstance(value, str) else formats.value(shown[position], side_of(kind))
            _write(page, row, position, value, fits)
    page.set_row(first, header_height(lines))
    page.freeze_panes(first + 1, 0)
    page.repeat_rows(first)
    if sheet.chart and table.num_rows:
        _insert_chart(book, page, sheet, first)


def _values(table: pa.Table, column: SheetColumn, kind: pa.DataType) -> list[Any]:
    if pa.types.is_date32(kind):  # Python has neither BC nor infinity
        days = table[column.name].cast(pa.int32()).to_pylist()
        return [None if day is None else _date(day) for day in days]
    found: list[Any] = table[column.name].to_pylist()
    return found


def _date(days: int) -> dt.date | str:
    first, last = FIRST_DATE.toordinal(), dt.date.max.toordinal()
    ordinal = days + dt.date(1970, 1, 1).toordinal()
    return dt.date.fromordinal(ordinal) if first <= ordinal <= last else date_text(days)


def _table_width(column: SheetColumn, header: str, values: Sequence[Any]) -> float:
    if column.width:
        return column.width
    longest = max((display_width(_sample(value)) for value in values[:500]), default=0)
    return min(max(longest + 2, header_width(header) + FILTER_BUTTON, NARROWEST), 60.0)


def _sample(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _insert_chart(book: Book, page: Worksheet, sheet: TableSheet, first: int) -> None:
    chart_model = sheet.chart
    if chart_model is None:
        return
    names = [column.name for column in sheet.columns]
    titles = {column.name: column.title for column in sheet.columns}
    points = sheet.table.num_rows
    if chart_model.kind != "scatter":
        points = min(points, CHART_POINTS)
    chart = book.add_chart(_chart_type(chart_model.kind))
    for number, name in enumerate(chart_model.y):
        colour = CHART_COLOURS[number % len(CHART_COLOURS)]
        x, y = names.index(chart_model.x), names.index(name)
        series: dict[str, Any] = {
            "name": titles[name],
            "categories": [sheet.sheet_name, first + 1, x, first + points, x],
            "values": [sheet.sheet_name, first + 1, y, first + points, y],
        }
        if chart_model.kind == "scatter":
            series["marker"] = {"type": "circle", "size": 6, "fill": {"color": colour}, "border": {"none": True}}
        elif chart_model.kind == "line":
            series["line"] = {"color": colour, "width": 2.25}
        elif chart_model.kind != "pie":
            series["fill"] = {"color": colour}
            series["gap"] = 60
        chart.add_series(series)
    more = f" (first {points} of {sheet.table.num_rows})" if points < sheet.table.num_rows else ""
    chart.set_title({"name": f"{sheet.heading}{more}", "name_font": {"size": 13, "bold": True}, "overlay": False})
    _dress_axes(chart, sheet, titles)
    chart.set_legend(
        {"none": True} if len(chart_model.y) == 1 and chart_model.kind != "pie" else {"position": "bottom"}
    )
    chart.set_size({"width": 720, "height": max(380, 20 * points) if chart_model.kind == "bar" else 400})
    # below the header row, which is repeated on every printed page with whatever stands beside it
    page.insert_chart(first + 1, len(names) + 1, chart, {"object_position": 3})


def _chart_type(kind: str) -> dict[str, str]:
    if kind not in CHARTS:
        raise WorkbookError(f"there is no chart of type {kind}: use one of {', '.join(CHARTS)}")
    return {"type": CHARTS[kind]}


def _dress_axes(chart: Any, sheet: TableSheet, titles: dict[str, str]) -> None:
    model = sheet.chart
    if model is None or model.kind == "pie":
        return
    x_format = next((column.number_format for column in sheet.columns if column.name == model.x), None)
    across: dict[str, Any] = {
        "name": titles[model.x], "name_font": {"bold": False}, "line": {"color": LINE}, "num_font": {"size": 9},
    }  # fmt: skip
    if model.kind not in ("bar", "scatter"):
        across["label_position"] = "low"  # below values that are less than nothing
    if x_format:
        across["num_format"] = x_format
    up: dict[str, Any] = {
        "num_font": {"size": 9},
        "line": {"none": True},
        "major_gridlines": {"visible": True, "line": {"color": "#E3E8ED"}},
    }
    if model.kind in FROM_NOTHING and all(_least(sheet.table, name) >= 0 for name in model.y):
        up["min"] = 0
    if len(model.y) == 1:
        up |= {"name": titles[model.y[0]], "name_font": {"bold": False}}
    up["num_format"] = next((column.number_format for column in sheet.columns if column.name == model.y[0]), None)
    if model.kind == "bar":  # lies on its side, the first row on top
        across["reverse"] = True
        up["label_position"] = "high"
        across, up = up, across
    chart.set_x_axis(across)
    chart.set_y_axis(up)


def _least(table: pa.Table, name: str) -> float:
    return min((float(value) for value in table[name].to_pylist() if value is not None), default=0.0)


def _plain(value: Any) -> Any:
    """Returns a value as a cell keeps it: what Excel would round or refuse becomes text."""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**MOST_DIGITS:
        return str(value)
    if isinstance(value, Decimal):
        digits = len(value.normalize().as_tuple().digits)
        return float(value) if digits <= MOST_DIGITS else f"{value:f}"
    if isinstance(value, dt.datetime) and value.date() < FIRST_DATE:
        return value.isoformat(" ")
    return cut_text(value) if isinstance(value, str) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _write(page: Worksheet, row: int, column: int, value: Any, look: Format) -> None:
    """Writes one value; XlsxWriter tells by its return value what it would not write."""
    if value is None:
        refused = page.write_blank(row, column, None, look)
    elif isinstance(value, str):
        refused = page.write_string(row, column, value, look)
    elif isinstance(value, bool):
        refused = page.write_boolean(row, column, value, look)
    elif isinstance(value, dt.datetime | dt.date | dt.time):
        refused = page.write_datetime(row, column, value, look)
    else:
        refused = page.write_number(row, column, value, look)
    if refused:
        raise WorkbookError(f"row {row + 1} of the sheet {page.name} cannot be written")
