"""What a workbook is made of: the interface between a caller who has rows and the writer.

A workbook has small sheets, given whole, and at most one detail table, which is streamed and may need several
sheets and even several files. What is only known after the rows were written (how many sheets, what was cut)
reaches the small sheets through ``Workbook.static_sheets``, which is called last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetColumn:
    """How one column of the rows is dressed.

    Args:
        name: the column in the rows.
        title: the header's text.
        width: in Excel's character units; None: from the header and a sample of the rows.
        number_format: an Excel format code; None: from the column's type.
        total: count, sum, mean, min or max in a totals row, as SUBTOTAL so that it follows the filter.
        numeric_text: the column is text that PostgreSQL's ``numeric`` without scale was printed to.
    """

    name: str
    title: str
    width: float | None = None
    number_format: str | None = None
    total: str | None = None
    numeric_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailTable:
    """Rows that are streamed, in order.

    Args:
        sheet_name: of the first sheet; the next ones are called ``<sheet_name> (2)`` and so on.
        columns: in the order of the sheet.
        schema: of every batch.
        rows: how many there are, exactly (Parquet's metadata has it).
        batches: called once; gives the rows.
    """

    sheet_name: str
    columns: tuple[SheetColumn, ...]
    schema: pa.Schema
    rows: int
    batches: Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A native chart over a table's columns. ``kind``: column, bar, line, area, pie or scatter."""

    kind: str
    x: str
    y: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSheet:
    """A small table, written as a real Excel table, with its chart beside it."""

    sheet_name: str
    heading: str
    columns: tuple[SheetColumn, ...]
    table: pa.Table
    chart: Chart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSection:
    """A part of a fact sheet: pairs of label and value, or, with ``header``, rows of a small plain table."""

    heading: str
    rows: tuple[tuple[Any, ...], ...]
    header: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSheet:
    """A sheet of facts for a reader, such as About or the index of files."""

    sheet_name: str
    heading: str
    subheading: str
    sections: tuple[FactSection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailOutcome:
    """What became of the rows of one file.

    Args:
        rows: how many of them this file holds.
        sheets: the names of its detail sheets.
        notes: sentences for a reader on what could not be kept as it was.
    """

    rows: int
    sheets: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbook:
    """A workbook to write.

    Args:
        title: of the document properties.
        subject: of the document properties.
        made_at: aware; pins every date in the file, so that the same rows give the same bytes.
        timezone: IANA name; instants are shown in it.
        detail: the rows, or None for a workbook of small sheets only.
        static_sheets: called after the rows of each file; gives the small sheets.
        detail_first: whether the detail sheets stand before or after the small ones.
    """

    title: str
    subject: str
    made_at: datetime
    timezone: str
    detail: DetailTable | None
    static_sheets: Callable[[DetailOutcome], tuple[FactSheet | TableSheet, ...]]
    detail_first: bool = True


class Sink(Protocol):
    """Where the bytes of one file go, in order."""

    def write(self, data: bytes, /) -> object:
        """Takes the next bytes."""


OpenFile = Callable[[int], AbstractContextManager[Sink]]
"""Opens the n-th file (from 0) of a workbook. Leaving the context normally completes the file; leaving it by an
exception must leave nothing behind."""
