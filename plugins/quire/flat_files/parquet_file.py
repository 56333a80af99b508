"""Rows as Parquet."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from quire.xlsx.model import Sink


def write_parquet(batches: Iterator[pa.RecordBatch], schema: pa.Schema, *, sink: Sink) -> int:
    """Writes Parquet with the database's own column names and types, and returns the number of rows."""
    rows = 0
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
