"""The workbook model, which is the writer's input.

A workbook has static sheets, which fit in memory, and at most one detail table, which is streamed and may span several
sheets and files. ``Workbook.static_sheets`` is called last, so static sheets can show facts that are known only after
the rows are written, such as the number of sheets and truncated values.
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
    """A column's name and format.

    Args:
        name: the column's name in the rows.
        title: the column's header text.
        width: the width in characters, Excel's unit; if None, it is derived from the header and a sample of the rows.
        number_format: an Excel format code; if None, the default for the column's type.
        total: the function in the totals row: count, sum, mean, min or max.
        numeric_text: whether the column holds PostgreSQL ``numeric`` values without a scale, stored as text.
    """

    name: str
    title: str
    width: float | None = None
    number_format: str | None = None
    total: str | None = None
    numeric_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailTable:
    """The rows to stream, in order.

    Args:
        sheet_name: the name of the first sheet; later sheets are named ``<sheet_name> (2)`` and so on.
        columns: the columns, in sheet order.
        schema: every batch's schema.
        rows: the exact number of rows, from the Parquet metadata.
        batches: a function that yields the rows; called once.
    """

    sheet_name: str
    columns: tuple[SheetColumn, ...]
    schema: pa.Schema
    rows: int
    batches: Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """An Excel chart of table columns; ``kind`` is column, bar, line, area, pie or scatter."""

    kind: str
    x: str
    y: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSheet:
    """A static sheet with an Excel table and, optionally, a chart next to it."""

    sheet_name: str
    heading: str
    columns: tuple[SheetColumn, ...]
    table: pa.Table
    chart: Chart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSection:
    """A fact sheet section: label-value pairs or, with a ``header``, the rows of a plain table."""

    heading: str
    rows: tuple[tuple[Any, ...], ...]
    header: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSheet:
    """A static sheet of facts, such as the About sheet or the index of files."""

    sheet_name: str
    heading: str
    subheading: str
    sections: tuple[FactSection, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailOutcome:
    """The outcome of writing detail rows to one file.

    Args:
        rows: the number of rows in this file.
        sheets: the names of the file's detail sheets.
        notes: sentences that describe changed values to the reader.
    """

    rows: int
    sheets: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workbook:
    """A workbook to write.

    Args:
        title: the "Title" document property.
        subject: the "Subject" document property.
        made_at: a timezone-aware datetime, used for every timestamp so that the same rows produce the same bytes.
        timezone: the IANA name of the zone to which timestamps with time zone are converted.
        detail: the detail rows, or None if the workbook has only static sheets.
        static_sheets: a function that returns the static sheets; called after each file's rows.
        detail_first: whether the detail sheets precede the static sheets.
    """

    title: str
    subject: str
    made_at: datetime
    timezone: str
    detail: DetailTable | None
    static_sheets: Callable[[DetailOutcome], tuple[FactSheet | TableSheet, ...]]
    detail_first: bool = True


class Sink(Protocol):
    """Receives one file's bytes in order."""

    def write(self, data: bytes, /) -> object:
        """Writes the next bytes."""


OpenFile = Callable[[int], AbstractContextManager[Sink]]
"""Opens a workbook's n-th file, counted from 0. Exiting the context completes the file; an error discards it."""
