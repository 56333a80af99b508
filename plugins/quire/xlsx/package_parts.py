"""Adapts the package parts written by XlsxWriter: renumbers shared strings and reorders sheets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from quire.errors import WorkbookError
from quire.xlsx.model import FactSheet, TableSheet
from quire.xlsx.names import sheet_name
from quire.xlsx.package import Part
from quire.xlsx.shared_strings import SharedStrings
from quire.xlsx.workbook_template import OPENING, shared_items

STRINGS = "xl/sharedStrings.xml"
BOOK = "xl/workbook.xml"
PROPERTIES = "docProps/app.xml"
_SHARED = re.compile(rb'( t="s"><v>)(\d+)(</v>)')
_SHEET = re.compile(r"<sheet [^<>]*/>")
_TITLE = re.compile(r"<vt:lpstr>[^<]*</vt:lpstr>")
_LOCAL = re.compile(r'localSheetId="(\d+)"')
_ACTIVE = re.compile(r' (?:activeTab|firstSheet)="\d+"')


def rename_sheets(sheets: Sequence[FactSheet | TableSheet], taken: set[str]) -> tuple[FactSheet | TableSheet, ...]:
    """Returns copies of the static sheets with valid, unique names."""
    return tuple(replace(sheet, sheet_name=sheet_name(sheet.sheet_name, taken)) for sheet in sheets)


def merge_parts(parts: dict[str, bytes], strings: SharedStrings, *, details: int, rows_first: bool) -> Iterator[Part]:
    """Yields a package's parts that have not been written yet.

    Args:
        parts: the full workbook's parts, with placeholders for the rows.
        strings: the rows' shared strings, starting with the header's.
        details: how many detail sheets precede the other sheets; they have already been written.
        rows_first: whether detail sheets are shown before static sheets.

    Raises:
        WorkbookError: XlsxWriter renumbered the header's strings.
    """
    items = shared_items(parts)
    header = strings.header
    if items[:header] != tuple(strings.items[:header]):
        raise WorkbookError("XlsxWriter renumbered the header's shared strings: the workbook would show wrong titles")
    shift = len(strings.items) - header
    written = {*OPENING, *(f"xl/worksheets/sheet{number}.xml" for number in range(1, details + 1))}
    for name, body in parts.items():
        if name in written:
            continue
        if name == STRINGS:
            yield name, _shared_strings((*strings.items, *items[header:]))
        elif name.startswith("xl/worksheets/sheet"):
            yield name, (_shift_strings(body, header, shift),)
        elif name == BOOK and not rows_first:
            yield name, (_static_sheets_first(body.decode(), details).encode(),)
        elif name == PROPERTIES and not rows_first:
            sheets = len(_SHEET.findall(parts[BOOK].decode()))
            yield name, (_static_titles_first(body.decode(), details, sheets).encode(),)
        else:
            yield name, (body,)


def _shared_strings(items: Sequence[str]) -> Iterator[bytes]:
    yield (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" uniqueCount="{len(items)}">'
    ).encode()
    for first in range(0, len(items), 4096):
        yield "".join(items[first : first + 4096]).encode()
    yield b"</sst>"


def _shift_strings(xml: bytes, header: int, shift: int) -> bytes:
    """Returns a static sheet whose strings are numbered after the rows' strings."""

    def move(match: re.Match[bytes]) -> bytes:
        number = int(match[2])
        return match[1] + str(number + shift if number >= header else number).encode() + match[3]

    return _SHARED.sub(move, xml)


def _static_sheets_first(xml: str, details: int) -> str:
    """Returns the workbook part with the detail sheets last; each defined name still refers to its sheet."""
    sheets = _SHEET.findall(xml)
    static = len(sheets) - details
    head, tail = xml.index(sheets[0]), xml.index(sheets[-1]) + len(sheets[-1])

    def move(match: re.Match[str]) -> str:
        position = int(match[1])
        return f'localSheetId="{position + static if position < details else position - details}"'

    reordered = "".join((*sheets[details:], *sheets[:details]))
    return _ACTIVE.sub("", _LOCAL.sub(move, xml[:head] + reordered + xml[tail:]))


def _static_titles_first(xml: str, details: int, sheets: int) -> str:
    """Returns the document properties with the detail sheets last in the list of sheet names."""
    head, opening, rest = xml.partition("<TitlesOfParts>")
    titles = list(_TITLE.finditer(rest))[:sheets]
    names = [title[0] for title in titles]
    reordered = "".join((*names[details:], *names[:details]))
    return f"{head}{opening}{rest[: titles[0].start()]}{reordered}{rest[titles[-1].end() :]}"
