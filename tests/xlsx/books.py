"""Helpers that write workbooks to memory and read them with independent libraries."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import openpyxl
import pyarrow as pa
from python_calamine import CalamineWorkbook
from quire.xlsx.detail_sheets import Limits
from quire.xlsx.model import (
    DetailOutcome,
    DetailTable,
    FactSection,
    FactSheet,
    SheetColumn,
    TableSheet,
    Workbook,
)
from quire.xlsx.workbook import write_workbook

MADE_AT = dt.datetime(2026, 1, 2, 3, 4, 6, tzinfo=dt.UTC)
ZONE = "America/New_York"


@dataclass
class Files:
    """Collects each completed file's bytes, in order."""

    bodies: list[bytes] = field(default_factory=list)
    opened: int = 0

    @contextmanager
    def open(self, number: int) -> Iterator[io.BytesIO]:
        assert number == self.opened
        self.opened += 1
        body = io.BytesIO()
        yield body
        self.bodies.append(body.getvalue())


def about(outcome: DetailOutcome) -> tuple[FactSheet | TableSheet, ...]:
    section = FactSection(heading="Facts", rows=(("Rows", outcome.rows), ("Sheets", ", ".join(outcome.sheets))))
    return (FactSheet(sheet_name="About", heading="A book", subheading="of tests", sections=(section,)),)


def book_of(
    batches: Sequence[pa.RecordBatch],
    schema: pa.Schema,
    *,
    columns: Sequence[SheetColumn] | None = None,
    sheet_name: str = "Rows",
    static_sheets: Any = about,
    detail_first: bool = True,
    timezone: str = ZONE,
) -> Workbook:
    columns = columns or [SheetColumn(name=name, title=name) for name in schema.names]
    detail = DetailTable(
        sheet_name=sheet_name,
        columns=tuple(columns),
        schema=schema,
        rows=sum(batch.num_rows for batch in batches),
        batches=lambda: iter(batches),
    )
    return Workbook(
        title="A book",
        subject="of tests",
        made_at=MADE_AT,
        timezone=timezone,
        detail=detail,
        static_sheets=static_sheets,
        detail_first=detail_first,
    )


def write(workbook: Workbook, *, limits: Limits | None = None) -> tuple[Files, tuple[DetailOutcome, ...]]:
    files = Files()
    outcomes = write_workbook(workbook, files.open, limits=limits)
    assert len(outcomes) == len(files.bodies)
    return files, outcomes


def write_rows(rows: Sequence[dict[str, Any]], schema: pa.Schema, **options: Any) -> tuple[bytes, DetailOutcome]:
    """Writes rows to one file, and returns the file and the outcome."""
    limits = options.pop("limits", None)
    files, outcomes = write(book_of([pa.RecordBatch.from_pylist(rows, schema)], schema, **options), limits=limits)
    assert len(files.bodies) == 1
    return files.bodies[0], outcomes[0]


@lru_cache(maxsize=2)  # tests read several cells from the same file
def calamine(body: bytes, sheet: str = "Rows") -> list[list[Any]]:
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(body))
    return workbook.get_sheet_by_name(sheet).to_python(skip_empty_area=False)


def by_openpyxl(body: bytes, sheet: str = "Rows") -> list[tuple[Any, ...]]:
    return list(_by_openpyxl(body, data_only=True)[sheet].iter_rows(values_only=True))


def cell(body: bytes, address: str, sheet: str = "Rows") -> Any:
    """Returns a cell and its formats, as read by openpyxl."""
    return _by_openpyxl(body)[sheet][address]


@lru_cache(maxsize=2)
def _by_openpyxl(body: bytes, *, data_only: bool = False) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(body), data_only=data_only)


def parts(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as package:
        assert package.testzip() is None
        return {name: package.read(name) for name in package.namelist()}
