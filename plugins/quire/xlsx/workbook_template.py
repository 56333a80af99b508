"""Creates a template with XlsxWriter: a workbook without rows, which provides the XML around a detail sheet's rows.

XlsxWriter numbers styles and shared strings in order of first use, and the detail sheets come first. Styles and strings
therefore have the same numbers in a template with one detail sheet as in the full workbook.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from xlsxwriter import Workbook as Book
from xlsxwriter.worksheet import Worksheet

from quire.errors import WorkbookError
from quire.xlsx.cells import Styles
from quire.xlsx.excel_limits import MAX_SHEET_ROWS
from quire.xlsx.illegal_characters import escape_illegal_characters
from quire.xlsx.model import DetailTable, FactSheet, TableSheet, Workbook
from quire.xlsx.names import column_letters, sheet_name
from quire.xlsx.static_sheets import add_static_sheet
from quire.xlsx.styles import Formats, number_format, side_of, total_number_format
from quire.xlsx.widths import header_height, header_lines
from quire.xlsx.xml_text import cut_text

OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
TOTAL = "Total"
OPENING = ("_rels/.rels", "docProps/core.xml")  # programs recognize a workbook by its first parts
# The template's rows below the header: one row for each style, then the totals rows.
VALUE_ROW, TEXT_ROW, QUOTED_ROW, TOTAL_ROW, QUOTED_TOTAL_ROW = 1, 2, 3, 4, 5
_ROW = re.compile(rb'<row r="(\d+)"[^<]*+(?:<(?!row |/row>)[^<]*+)*</row>')
_STYLE = re.compile(rb'<c r="[A-Z]+\d+"(?: s="(\d+)")?')
_LABEL = re.compile(rb't="s"><v>(\d+)</v>')
_DIMENSION = re.compile(rb'<dimension ref="[^"]*"/>')
_ITEM = re.compile(r"<si>[^<]*+(?:<(?!/?si>)[^<]*+)*</si>")


@dataclass(frozen=True, slots=True)
class DetailSheet:
    """A detail sheet.

    Args:
        name: the sheet's name.
        rows: the number of rows between the header and the totals.
        totals: whether the sheet has a totals row; only the last sheet can have one.
    """

    name: str
    rows: int
    totals: bool = False


@dataclass(frozen=True, slots=True)
class SheetFrame:
    """The parts of a detail sheet around its rows.

    Args:
        before: the sheet's XML up to the first row.
        after: the sheet's XML after the last row.
        styles: each column's style numbers.
        totals: two style numbers per column: for a normal total, and for a total that starts like a formula; empty if
            no column has a total.
        label: the number of the "Total" shared string; None if there is no label.
        strings: the header's shared strings.
        opening: the names and contents of the package's first parts, which do not depend on the sheets.
    """

    before: bytes
    after: bytes
    styles: tuple[Styles, ...]
    totals: tuple[tuple[int, int], ...]
    label: int | None
    strings: tuple[str, ...]
    opening: tuple[tuple[str, tuple[bytes]], ...]


def has_totals(detail: DetailTable) -> bool:
    """Returns whether a totals row follows the table's last row."""
    return any(column.total for column in detail.columns)


def build_book(
    workbook: Workbook,
    widths: Sequence[float],
    details: Sequence[DetailSheet],
    *,
    static_sheets: Sequence[FactSheet | TableSheet],
    opens_with_rows: bool,
) -> dict[str, bytes]:
    """Returns the parts of a workbook's package, detail sheets first, with placeholders for their rows.

    Args:
        workbook: the title, dates and columns.
        widths: the detail columns' widths.
        details: the detail sheets.
        static_sheets: the static sheets.
        opens_with_rows: whether the first detail sheet is active when the workbook opens.
    """
    body = io.BytesIO()
    book = Book(body, OPTIONS)
    made_at = workbook.made_at.astimezone(UTC).replace(tzinfo=None)
    book.set_properties({"title": workbook.title, "subject": workbook.subject, "created": made_at})
    book.set_calc_mode("auto")
    formats = Formats(book)
    for sheet in details:
        if workbook.detail is None:
            raise WorkbookError("the workbook has no detail rows, so it cannot have a detail sheet")
        _write_frame(book.add_worksheet(sheet.name), workbook.detail, widths, planned=sheet, formats=formats)
    pages = [add_static_sheet(book, formats, sheet, timezone=workbook.timezone) for sheet in static_sheets]
    if not opens_with_rows:
        (pages[0] if pages else book.add_worksheet(_other_name(details))).activate()
    book.close()
    with zipfile.ZipFile(body) as package:
        return {name: escape_illegal_characters(name, package.read(name)) for name in package.namelist()}


def cut_frame(workbook: Workbook, widths: Sequence[float], sheet: DetailSheet, *, opens: bool) -> SheetFrame:
    """Returns the parts of a detail sheet around its rows.

    Args:
        workbook: a workbook with detail rows.
        widths: the detail columns' widths.
        sheet: the sheet's name and row count.
        opens: whether the sheet is active when the workbook opens.
    """
    detail = workbook.detail
    if detail is None:
        raise WorkbookError("the workbook has no detail rows, so it cannot have a detail sheet")
    parts = build_book(workbook, widths, [sheet], static_sheets=[], opens_with_rows=opens)
    xml = parts["xl/worksheets/sheet1.xml"]
    rows = {int(match[1]): match for match in _ROW.finditer(xml)}
    placeholders = [rows[row + 1] for row in (VALUE_ROW, TEXT_ROW, QUOTED_ROW)]
    totals = [rows[row + 1] for row in (TOTAL_ROW, QUOTED_TOTAL_ROW) if row + 1 in rows]
    label = _LABEL.search(totals[0][0]) if totals else None
    last = f"{column_letters(len(detail.columns) - 1)}{sheet.rows + 1 + sheet.totals}"
    before = xml[: placeholders[0].start()]
    return SheetFrame(
        before=_DIMENSION.sub(f'<dimension ref="A1:{last}"/>'.encode(), before),
        after=xml[(totals or placeholders)[-1].end() :],
        styles=tuple(Styles(*column) for column in zip(*map(_styles, placeholders), strict=True)),
        totals=tuple(zip(*map(_styles, totals), strict=True)),
        label=int(label[1]) if label else None,
        strings=shared_items(parts),
        opening=tuple((name, (parts[name],)) for name in OPENING),
    )


def _styles(row: re.Match[bytes]) -> list[int]:
    return [int(style or 0) for style in _STYLE.findall(row[0])]


def without_dimension(before: bytes) -> bytes:
    """Returns the XML before a sheet's rows without its dimension element."""
    return _DIMENSION.sub(b"", before)


def shared_items(parts: dict[str, bytes]) -> tuple[str, ...]:
    """Returns a package's shared strings, as XML elements."""
    return tuple(_ITEM.findall(parts.get("xl/sharedStrings.xml", b"").decode()))


def _other_name(details: Sequence[DetailSheet]) -> str:
    """Returns the name of the sheet that represents the static sheets in a template."""
    return sheet_name("Other", {sheet.name.casefold() for sheet in details})


def _write_frame(
    sheet: Worksheet, detail: DetailTable, widths: Sequence[float], *, planned: DetailSheet, formats: Formats
) -> None:
    kinds = [detail.schema.field(column.name).type for column in detail.columns]
    for position, (column, kind, width) in enumerate(zip(detail.columns, kinds, widths, strict=True)):
        code = column.number_format or ("General" if column.numeric_text else number_format(kind))
        side = "right" if column.numeric_text else side_of(kind)
        sheet.set_column(position, position, width)
        sheet.write_string(0, position, cut_text(column.title), formats.header(side))
        sheet.write_blank(VALUE_ROW, position, None, formats.value(code, side))
        sheet.write_blank(TEXT_ROW, position, None, formats.text())
        sheet.write_blank(QUOTED_ROW, position, None, formats.text(quoted=True))
        if has_totals(detail):
            function = column.total or "sum"
            total = formats.total(total_number_format(code, function), function)
            sheet.write_blank(TOTAL_ROW, position, None, total)
            sheet.write_blank(QUOTED_TOTAL_ROW, position, None, formats.quoted_total())
    if has_totals(detail) and not detail.columns[0].total:
        sheet.write_string(TOTAL_ROW, 0, TOTAL, formats.total_label())
    lines = max(header_lines(column.title, width) for column, width in zip(detail.columns, widths, strict=True))
    sheet.set_row(0, header_height(lines))
    last = len(detail.columns) - 1
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, planned.rows, last)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)
    sheet.set_footer("&L&8&A&R&8Page &P of &N")
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
    cells = f"A1:{column_letters(last)}{MAX_SHEET_ROWS}"
    sheet.ignore_errors({"number_stored_as_text": cells, "two_digit_text_year": cells})
