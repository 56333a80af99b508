"""Writes a workbook with a column of each type."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pyarrow as pa
from quire.xlsx.model import DetailTable, SheetColumn, Workbook
from quire.xlsx.row_batches import BATCH_BYTES
from quire.xlsx.workbook import write_workbook

from tests.xlsx.peak_memory import open_null_sink

ROWS = 20_000
LONG = "x" * (4 * BATCH_BYTES // ROWS)


def write_every_column_type() -> None:
    """Writes shared strings, inline strings, strings too long for batches or cells, and columns of every other type."""
    frame = pl.DataFrame(
        {
            "shared": ["a"] * ROWS,
            "inline": [f"=<{number}>" for number in range(ROWS)],
            "long": [LONG] * (ROWS - 1) + ["y" * 40_000],
            "integer": range(ROWS),
            "float": [number / 7 for number in range(ROWS)],
            "decimal": [Decimal("1.25")] * ROWS,
            "date": [None, *[dt.date(2013, 1, 1)] * (ROWS - 1)],
            "timestamp": [dt.datetime(2013, 1, 1, tzinfo=dt.UTC)] * ROWS,
            "boolean": [True] * ROWS,
        }
    )
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    types = [pa.string() if kind == pa.large_string() else kind for kind in table.schema.types]
    table = table.cast(pa.schema(list(zip(table.schema.names, types, strict=True))))
    columns = [SheetColumn(name=name, title=name, total="max") for name in table.schema.names]
    detail = DetailTable(
        sheet_name="Rows",
        columns=tuple(columns),
        schema=table.schema,
        rows=ROWS,
        batches=lambda: iter(table.to_batches()),
    )
    made_at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    book = Workbook(title="t", subject="s", made_at=made_at, timezone="UTC", detail=detail, static_sheets=lambda _: ())
    write_workbook(book, open_null_sink)
