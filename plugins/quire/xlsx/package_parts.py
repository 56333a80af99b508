"""The rest of the package, once the rows are written: what XlsxWriter made, fitted to the rows' shared strings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from quire.errors import WorkbookError
from quire.xlsx.model import FactSheet, TableSheet
from quire.xlsx.names import sheet_name
from quire.xlsx.package import Part
from quire.xlsx.shared_strings import SharedStrings
from quire.xlsx.workbook_template import shared_items

OPENING = ("_rels/.rels", "docProps/core.xml")
STRINGS = "xl/sharedStrings.xml"
BOOK = "xl/workbook.xml"
TOLD = "docProps/app.xml"
_SHARED = re.compile(rb'( t="s"><v>)(\d+)(</v>)')
_SHEET = re.compile(r"<sheet [^<>]*/>")
_TITLE = re.compile(r"<vt:lpstr>[^<]*</vt:lpstr>")
_LOCAL = re.compile(r'localSheetId="(\d+)"')
_ACTIVE = re.compile(r' (?:activeTab|firstSheet)="\d+"')


def rename_sheets(sheets: Sequence[FactSheet | TableSheet], taken: set[str]) -> tuple[FactSheet | TableSheet, ...]:
    """Returns the small sheets under names that Excel takes and no other sheet has."""
    return tuple(replace(sheet, sheet_name=sheet_name(sheet.sheet_name, taken)) for sheet in sheets)


def opening_parts(parts: dict[str, bytes]) -> Iterator[Part]:
    """Gives the parts that no row changes: programs that look at a file's beginning find a workbook's."""
    for name in OPENING:
        yield name, (parts[name],)


def merge_parts(parts: dict[str, bytes], strings: SharedStrings, *, details: int, rows_first: bool) -> Iterator[Part]:
    """Gives what has not been written of a package.

    Args:
        parts: of the whole workbook, with placeholders where the rows are.
        strings: the shared strings of the rows, those of the header first.
        details: how many sheets of rows there are; they are the first, and written already.
        rows_first: whether they are shown before the small sheets.

    Raises:
        WorkbookError: XlsxWriter gave the header other numbers than before.
    """
    items = shared_items(parts)
    header = strings.header
    if items[:header] != tuple(strings.items[:header]):
        raise WorkbookError("the header's shared strings have moved: the workbook would show wrong titles")
    shift = len(strings.items) - header
    written = {*OPENING, *(f"xl/worksheets/sheet{number}.xml" for number in range(1, details + 1))}
    for name, body in parts.items():
        if name in written:
            continue
        if name == STRINGS:
            yield name, _shared_strings((*strings.items, *items[header:]))
        elif name.startswith("xl/worksheets/sheet"):
            yield name, (_shifted(body, header, shift),)
        elif name == BOOK and not rows_first:
            yield name, (_small_sheets_first(body.decode(), details).encode(),)
        elif name == TOLD and not rows_first:
            yield name, (_told_small_first(body.decode(), details, len(_SHEET.findall(parts[BOOK].decode()))).encode(),)
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


def _shifted(xml: bytes, header: int, shift: int) -> bytes:
    """Returns a small sheet whose strings stand behind those of the rows."""

    def moved(found: re.Match[bytes]) -> bytes:
        number = int(found[2])
        return found[1] + str(number + shift if number >= header else number).encode() + found[3]

    return _SHARED.sub(moved, xml)


def _small_sheets_first(xml: str, details: int) -> str:
    """Returns the workbook's list of sheets with those of rows at its end; names defined for a sheet move with it."""
    sheets = _SHEET.findall(xml)
    small = len(sheets) - details
    head, tail = xml.index(sheets[0]), xml.index(sheets[-1]) + len(sheets[-1])

    def moved(found: re.Match[str]) -> str:
        place = int(found[1])
        return f'localSheetId="{place + small if place < details else place - details}"'

    reordered = "".join((*sheets[details:], *sheets[:details]))
    return _ACTIVE.sub("", _LOCAL.sub(moved, xml[:head] + reordered + xml[tail:]))


def _told_small_first(xml: str, details: int, sheets: int) -> str:
    """Returns the list of sheets that the document's properties have, in the same order."""
    head, opening, list_ = xml.partition("<TitlesOfParts>")
    titles = list(_TITLE.finditer(list_))[:sheets]
    names = [title[0] for title in titles]
    reordered = "".join((*names[details:], *names[:details]))
    return f"{head}{opening}{list_[: titles[0].start()]}{reordered}{list_[titles[-1].end() :]}"
