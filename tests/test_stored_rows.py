"""Slices of stored partitions: exactly their rows, across batches, row groups and objects."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.artifacts import RowSlice
from quire.errors import IntegrityError
from quire.object_store import ObjectStore
from quire.stored_rows import BATCH_ROWS, read_rows

ROWS = 30_000


@pytest.fixture
def stored(bucket: ObjectStore) -> int:
    """Stores rows 0 to 29,999 in row groups of 10,000 and returns the object's size."""
    table = pa.table({"n": pa.array(range(ROWS), pa.int32()), "s": ["x"] * ROWS})
    with bucket.open_upload("rows.parquet") as upload, pq.ParquetWriter(upload, table.schema) as writer:
        writer.write_table(table, row_group_size=10_000)
    return upload.bytes


def numbers(bucket: ObjectStore, size: int, *slices: tuple[int, int]) -> list[int]:
    parts = [RowSlice(partition="p", object_key="rows.parquet", bytes=size, offset=o, rows=r) for o, r in slices]
    batches = list(read_rows(bucket, parts, ["s", "n"]))
    assert all(batch.num_rows <= BATCH_ROWS and batch.schema.names == ["s", "n"] for batch in batches)
    return [number for batch in batches for number in batch.column("n").to_pylist()]


@pytest.mark.parametrize(
    ("offset", "rows"),
    [(0, ROWS), (0, 1), (ROWS - 1, 1), (9_999, 2), (8_191, 2), (9_000, 15_000), (19_500, 500), (5, 0)],
)
def test_slice_gives_its_rows_in_order(bucket: ObjectStore, stored: int, offset: int, rows: int) -> None:
    assert numbers(bucket, stored, (offset, rows)) == list(range(offset, offset + rows))


def test_slices_follow_one_another(bucket: ObjectStore, stored: int) -> None:
    assert numbers(bucket, stored, (29_990, 10), (0, 5)) == [*range(29_990, 30_000), *range(5)]


def test_slice_of_rows_that_are_not_there_is_refused(bucket: ObjectStore, stored: int) -> None:
    with pytest.raises(IntegrityError, match=r"rows\.parquet gave 10 rows where there were 11"):
        numbers(bucket, stored, (29_990, 11))


def test_object_that_is_no_parquet_is_refused(bucket: ObjectStore, stored: int) -> None:
    bucket.put("rows.parquet", b"x" * stored)
    with pytest.raises(IntegrityError, match=r"rows\.parquet cannot be read as Parquet"):
        numbers(bucket, stored, (0, 1))
