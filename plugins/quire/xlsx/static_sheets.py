"""Writes static sheets (fact sheets, and tables with their charts) with XlsxWriter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from xlsxwriter import Workbook as Book
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from quire.errors import WorkbookError
from quire.xlsx.cell_values import column_values, to_cell_value
from quire.xlsx.model import FactSection, FactSheet, SheetColumn, TableSheet
from quire.xlsx.names import column_letters, table_headers
from quire.xlsx.native_chart import insert_chart
from quire.xlsx.styles import ACCENT, MUTED, Formats, number_format, side_of
from quire.xlsx.widths import FILTER_BUTTON, MIN_WIDTH, display_width, header_height, header_lines, header_width
from quire.xlsx.xml_text import FORMULA_STARTS

HEADER_ROW = 2  # the table header's row, below the sheet's heading


def add_static_sheet(book: Book, formats: Formats, sheet: FactSheet | TableSheet, *, timezone: str) -> Worksheet:
    """Adds a static sheet to a workbook.

    Args:
        book: the workbook.
        formats: the workbook's formats.
        sheet: the sheet to add.
        timezone: the IANA name of the zone to which timestamps with time zone are converted.

    Raises:
        WorkbookError: the content exceeds Excel's sheet limits.
    """
    page = book.add_worksheet(sheet.sheet_name)
    page.hide_gridlines(2)
    page.set_paper(9)  # A4
    page.fit_to_pages(1, 0)
    page.set_footer("&L&8&A&R&8Page &P of &N")
    if isinstance(sheet, FactSheet):
        _write_facts(page, formats, sheet, timezone=timezone)
    else:
        page.set_landscape()
        _write_table(page, formats, sheet, timezone=timezone)
        if sheet.chart and sheet.table.num_rows:
            insert_chart(book, page, sheet, model=sheet.chart, header_row=HEADER_ROW)
    return page


def _write_facts(page: Worksheet, formats: Formats, sheet: FactSheet, *, timezone: str) -> None:
    widths = _fact_widths(sheet.sections)
    for position, width in enumerate(widths):
        page.set_column(position, position, width)
    page.set_row(0, 30)
    heading = formats.of(bold=True, font_size=18, font_color=ACCENT, valign="vcenter")
    _write(page, 0, 0, value=sheet.heading, cell_format=heading)
    row = 1
    if sheet.subheading:
        _write(page, row, 0, value=sheet.subheading, cell_format=formats.of(font_color=MUTED))
        row += 1
    for section in sheet.sections:
        values = tuple(tuple(to_cell_value(value, timezone=timezone) for value in line) for line in section.rows)
        row = _write_section(page, formats, replace(section, rows=values), row=row + 1)


def _write_section(page: Worksheet, formats: Formats, section: FactSection, *, row: int) -> int:
    """Writes a section that starts at ``row``, and returns the number of the row after it."""
    if section.heading:
        _write(page, row, 0, value=section.heading, cell_format=formats.of(bold=True, font_size=13))
        row += 1
    for position, title in enumerate(section.header):
        is_numeric = position > 0 and all(_is_number(line[position]) for line in section.rows)
        header = formats.header("right" if is_numeric else "left", has_filter=False)
        _write(page, row, position, value=title, cell_format=header)
    row += bool(section.header)
    for line in section.rows:
        for position, value in enumerate(line):
            if position == 0 and len(line) > 1 and not section.header:
                cell_format = formats.of(font_color=MUTED, valign="vcenter")
            else:
                cell_format = _fact_format(formats, value, in_table=bool(section.header))
            _write(page, row, position, value=value, cell_format=cell_format)
        row += 1
    return row


def _fact_format(formats: Formats, value: Any, *, in_table: bool) -> Format:
    properties: dict[str, Any] = {"valign": "vcenter", "align": "left", "indent": int(in_table)}
    if _is_number(value) and in_table:
        properties = {"valign": "vcenter", "align": "right"}
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        properties["quote_prefix"] = True
    if isinstance(value, dt.datetime):
        return formats.of(num_format="yyyy-mm-dd hh:mm:ss", **properties)
    if isinstance(value, dt.date):
        return formats.of(num_format="yyyy-mm-dd", **properties)
    is_integer = isinstance(value, int) and _is_number(value)
    return formats.of(num_format="#,##0", **properties) if is_integer else formats.of(**properties)


def _fact_widths(sections: Sequence[FactSection]) -> list[float]:
    widths: dict[int, float] = {0: 22.0, 1: 14.0}
    for section in sections:
        for line in (section.header, *section.rows):
            for position, value in enumerate(line):
                if len(line) > 1 and (position == 0 or section.header):
                    widths[position] = max(widths.get(position, 12.0), min(display_width(str(value)) + 2, 48.0))
    return [widths.get(position, 12.0) for position in range(max(widths) + 1)]


def _write_table(page: Worksheet, formats: Formats, sheet: TableSheet, *, timezone: str) -> None:
    table, columns = sheet.table, sheet.columns
    page.set_row(0, 26)
    heading = formats.of(bold=True, font_size=16, font_color=ACCENT, valign="vcenter")
    _write(page, 0, 0, value=sheet.heading, cell_format=heading)
    headers = table_headers(column.title for column in columns)
    _add_table(page, formats, sheet, headers=headers)
    lines = 1
    for position, column in enumerate(columns):
        kind = table.schema.field(column.name).type
        code = column.number_format or ("General" if column.numeric_text else number_format(kind))
        side = "right" if column.numeric_text else side_of(kind)
        values = column_values(table, column, timezone=timezone)
        width = _table_width(column, headers[position], values)
        lines = max(lines, header_lines(headers[position], width))
        page.set_column(position, position, width)
        for row, value in enumerate(values, HEADER_ROW + 1):
            _write(page, row, position, value=value, cell_format=_table_format(formats, value, code, side=side))
    page.set_row(HEADER_ROW, header_height(lines))
    page.freeze_panes(HEADER_ROW + 1, 0)
    page.repeat_rows(HEADER_ROW)


def _add_table(page: Worksheet, formats: Formats, sheet: TableSheet, *, headers: Sequence[str]) -> None:
    schema, columns = sheet.table.schema, sheet.columns
    sides = ["right" if column.numeric_text else side_of(schema.field(column.name).type) for column in columns]
    last = HEADER_ROW + max(1, sheet.table.num_rows)  # an Excel table needs at least one row below its header
    options = {
        "style": "Table Style Light 1",
        "columns": [
            {"header": header, "header_format": formats.header(side)}
            for header, side in zip(headers, sides, strict=True)
        ],
    }
    if page.add_table(HEADER_ROW, 0, last, len(columns) - 1, options):
        raise WorkbookError(f"sheet {page.name}'s table exceeds Excel's limits")
    cells = f"A{HEADER_ROW + 2}:{column_letters(len(columns) - 1)}{last + 1}"
    page.ignore_errors({"number_stored_as_text": cells, "two_digit_text_year": cells})


def _table_format(formats: Formats, value: Any, code: str, *, side: str) -> Format:
    if isinstance(value, str):
        return formats.text(quoted=value.startswith(FORMULA_STARTS))
    return formats.value(code, side)


def _table_width(column: SheetColumn, header: str, values: Sequence[Any]) -> float:
    if column.width:
        return column.width
    longest = max((display_width(_approximate_text(value)) for value in values[:500]), default=0)
    return min(max(longest + 2, header_width(header) + FILTER_BUTTON, MIN_WIDTH), 60.0)


def _approximate_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _write(page: Worksheet, row: int, column: int, *, value: Any, cell_format: Format) -> None:
    """Writes a value.

    Raises:
        WorkbookError: XlsxWriter returned an error status instead of writing the value.
    """
    if value is None:
        status = page.write_blank(row, column, None, cell_format)
    elif isinstance(value, str):
        status = page.write_string(row, column, value, cell_format)
    elif isinstance(value, bool):
        status = page.write_boolean(row, column, value, cell_format)
    elif isinstance(value, dt.datetime | dt.date | dt.time):
        status = page.write_datetime(row, column, value, cell_format)
    else:
        status = page.write_number(row, column, value, cell_format)
    if status:
        raise WorkbookError(f"cannot write row {row + 1} on sheet {page.name}: XlsxWriter returned {status}")
