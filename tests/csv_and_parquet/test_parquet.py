"""Parquet files preserve the database's column names and types, and have row groups of a suitable size."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.csv_and_parquet import write_parquet
from quire.postgres.arrow_types import PG_TYPE, storage_schema
from quire.record_types.stage_records import SourceColumn

SCHEMA = storage_schema((SourceColumn(name="n", pg_type="int4"), SourceColumn(name="s", pg_type="text")))


def batch_of(first: int, rows: int, *, text: str = "x") -> pa.RecordBatch:
    numbers = pa.array(range(first, first + rows), pa.int32())
    return pa.RecordBatch.from_arrays([numbers, pa.array([text] * rows)], schema=SCHEMA)


@pytest.mark.parametrize("batch_rows", [8_192, 5_000, 200_000])
def test_row_groups_have_131072_rows_for_any_batches(batch_rows: int) -> None:
    sink, total = io.BytesIO(), 300_000
    batches = (batch_of(first, min(batch_rows, total - first)) for first in range(0, total, batch_rows))
    assert write_parquet(batches, SCHEMA, sink=sink) == total
    metadata = pq.read_metadata(sink)
    groups = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert groups == [131_072, 131_072, 37_856]
    assert pq.read_table(sink)["n"].to_pylist() == list(range(total))


def test_row_groups_of_large_rows_are_bounded_by_their_bytes() -> None:
    sink = io.BytesIO()
    batches = (batch_of(number * 100, 100, text="x" * 20_000) for number in range(100))  # 200 MB
    assert write_parquet(batches, SCHEMA, sink=sink) == 10_000
    metadata = pq.read_metadata(sink)
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert max(rows) * 20_000 <= 66 * 2**20
    assert len(set(rows[:-1])) == 1


def test_file_without_rows_has_columns_with_postgresql_types() -> None:
    sink = io.BytesIO()
    assert write_parquet(iter(()), SCHEMA, sink=sink) == 0
    schema = pq.read_schema(sink)
    assert schema.equals(SCHEMA)
    assert schema.field("n").metadata[PG_TYPE] == b"int4"
