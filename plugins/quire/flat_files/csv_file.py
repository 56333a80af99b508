"""Rows as CSV (RFC 4180)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa

from quire.flat_files.postgresql_text import text_of
from quire.xlsx.model import SheetColumn, Sink

BOM = b"\xef\xbb\xbf"  # without it, Excel takes UTF-8 for the machine's own code page


def write_csv(batches: Iterator[pa.RecordBatch], columns: Sequence[SheetColumn], *, timezone: str, sink: Sink) -> int:
    """Writes CSV with a byte order mark and returns the number of rows.

    Values are as PostgreSQL prints them in a session of ``timezone``. NULL is nothing between two commas, and an empty
    text is ``""``, as PostgreSQL's COPY writes and reads them: in a file of one column, NULL is an empty line.
    """
    sink.write(BOM + _lines([pl.Series([column.title]) for column in columns]))
    rows = 0
    for batch in batches:
        sink.write(_lines([text_of(column, timezone=timezone) for column in batch.columns]))
        rows += batch.num_rows
    return rows


def _lines(fields: Sequence[pl.Series]) -> bytes:
    frame = pl.DataFrame([field.alias(str(position)) for position, field in enumerate(fields)])
    return frame.write_csv(None, include_header=False, line_terminator="\r\n", quote_style="necessary").encode()
