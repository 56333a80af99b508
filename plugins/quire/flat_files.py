"""The same rows as CSV and as Parquet: one file a share, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from quire.xlsx.model import SheetColumn, Sink

BOM = b"\xef\xbb\xbf"  # without it, Excel takes UTF-8 for the machine's own code page
LOCAL = "%Y-%m-%d %H:%M:%S%.f"
ZONED = "%Y-%m-%d %H:%M:%S%.f%:z"


def write_csv(batches: Iterator[pa.RecordBatch], columns: Sequence[SheetColumn], *, timezone: str, sink: Sink) -> int:
    """Writes RFC 4180 with a byte order mark and returns the number of rows.

    NULL is an empty field, an empty text is ``""``. Instants are in ``timezone``, with their offset.
    """
    header = pl.DataFrame({f"{position}": [column.title] for position, column in enumerate(columns)})
    sink.write(BOM + header.write_csv(None, include_header=False, line_terminator="\r\n").encode())
    rows = 0
    for batch in batches:
        frame = pl.DataFrame(batch)
        frame = frame.with_columns(*(_as_text(name, kind, timezone) for name, kind in frame.schema.items()))
        sink.write(
            frame.write_csv(None, include_header=False, line_terminator="\r\n", quote_style="necessary").encode()
        )
        rows += batch.num_rows
    return rows


def _as_text(name: str, kind: pl.DataType, timezone: str) -> pl.Expr:
    column = pl.col(name)
    if not isinstance(kind, pl.Datetime):
        return column
    if kind.time_zone is None:
        return column.dt.strftime(LOCAL)
    return column.dt.convert_time_zone(timezone).dt.strftime(ZONED)


def write_parquet(batches: Iterator[pa.RecordBatch], schema: pa.Schema, *, sink: Sink) -> int:
    """Writes Parquet with the database's own column names and types, and returns the number of rows."""
    rows = 0
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
