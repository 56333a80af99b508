"""Writes rows as a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from quire.csv_and_parquet.row_groups import cut_row_groups, write_row_groups
from quire.xlsx.model import Sink

GROUP_ROWS = 131_072  # programs that read the file decode one group at a time
GROUP_BYTES = 64 * 1024 * 1024


def write_parquet(batches: Iterator[pa.RecordBatch], schema: pa.Schema, *, sink: Sink) -> int:
    """Writes a Parquet file with the database's column names and types, and returns the number of rows."""
    row_groups = cut_row_groups(batches, schema, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES)
    return write_row_groups(row_groups, schema, sink=sink, statistics=True)
