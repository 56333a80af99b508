"""A slice of a stored partition yields exactly the slice's rows, across batches, row groups and objects."""

from __future__ import annotations

import errno
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.errors import DamagedObjectError
from quire.object_store import Upload
from quire.object_store.s3_store import S3Store
from quire.partition_cache.row_reader import DECODE_BYTES, DECODE_ROWS, evict_on_damage, read_rows
from quire.record_types.stage_records import RowSlice

pytestmark = pytest.mark.server

ROWS = 30_000


@pytest.fixture
def stored(bucket: S3Store) -> Upload:
    """Stores rows 0 to 29,999 in row groups of 10,000."""
    table = pa.table({"n": pa.array(range(ROWS), pa.int32()), "s": ["x"] * ROWS})
    with bucket.open_upload("rows.parquet") as upload, pq.ParquetWriter(upload, table.schema) as writer:
        writer.write_table(table, row_group_size=10_000)
    return upload


def slice_of(upload: Upload, key: str, offset: int, rows: int) -> RowSlice:
    return RowSlice(
        partition="p", object_key=key, bytes=upload.bytes, checksums=upload.checksums, offset=offset, rows=rows
    )


def numbers(bucket: S3Store, stored: Upload, *slices: tuple[int, int]) -> list[int]:
    parts = [slice_of(stored, "rows.parquet", offset, rows) for offset, rows in slices]
    batches = list(read_rows(bucket, parts, ["s", "n"]))
    assert all(batch.num_rows <= DECODE_ROWS and batch.schema.names == ["s", "n"] for batch in batches)
    return [number for batch in batches for number in batch.column("n").to_pylist()]


@pytest.mark.parametrize(
    ("offset", "rows"),
    [(0, ROWS), (0, 1), (ROWS - 1, 1), (9_999, 2), (8_191, 2), (9_000, 15_000), (19_500, 500), (5, 0)],
)
def test_slice_yields_its_rows_in_order(bucket: S3Store, stored: Upload, offset: int, rows: int) -> None:
    assert numbers(bucket, stored, (offset, rows)) == list(range(offset, offset + rows))


def test_slices_are_read_in_order(bucket: S3Store, stored: Upload) -> None:
    assert numbers(bucket, stored, (29_990, 10), (0, 5)) == [*range(29_990, 30_000), *range(5)]


def test_slice_beyond_the_rows_is_rejected(bucket: S3Store, stored: Upload) -> None:
    with pytest.raises(DamagedObjectError, match=r"rows\.parquet has 10 of the expected 11 rows"):
        numbers(bucket, stored, (29_990, 11))


def test_object_that_is_not_parquet_is_rejected(bucket: S3Store, stored: Upload) -> None:
    with bucket.open_upload("rows.parquet") as upload:
        upload.write(b"x" * stored.bytes)
    with pytest.raises(DamagedObjectError, match=r"rows\.parquet cannot be read as Parquet"):
        numbers(bucket, upload, (0, 1))


def test_operating_system_error_is_not_damage(bucket: S3Store) -> None:
    folder = "partitions/place"
    bucket.put(f"{folder}.json", b"record")
    with pytest.raises(OSError, match="Too many open files"), evict_on_damage(bucket, f"{folder}/rows.parquet"):
        raise OSError(errno.EMFILE, "Too many open files")
    assert bucket.read(f"{folder}.json") == b"record"


def test_object_with_other_bytes_is_rejected(bucket: S3Store, stored: Upload) -> None:
    bucket.put("rows.parquet", b"x" * stored.bytes)
    with pytest.raises(DamagedObjectError, match=r"rows\.parquet does not match its checksum"):
        numbers(bucket, stored, (0, 1))


def test_object_stored_without_checksums_is_rejected(bucket: S3Store, stored: Upload) -> None:
    part = replace(slice_of(stored, "rows.parquet", 0, 1), checksums="")
    with pytest.raises(DamagedObjectError, match=r"rows\.parquet was stored without a checksum"):
        list(read_rows(bucket, [part], ["n"]))


def store_table(bucket: S3Store, table: pa.Table) -> RowSlice:
    """Stores a table in one row group, and returns a slice with all of its rows."""
    with bucket.open_upload("large.parquet") as upload, pq.ParquetWriter(upload, table.schema) as writer:
        writer.write_table(table, row_group_size=table.num_rows)
    return slice_of(upload, "large.parquet", 0, table.num_rows)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([f"{n:020000d}" for n in range(2_000)], id="long"),
        pytest.param([f"{n % 2:020000d}" for n in range(2_000)], id="long and repeated"),
        pytest.param(["x" * (20_000_000 if n == 1_000 else n % 7) for n in range(9_000)], id="one longer than a batch"),
        pytest.param(["x" * (100_000 if n < 100 else 1) for n in range(9_000)], id="long ones first"),
    ],
)
def test_read_rows_of_uneven_texts_yields_every_row_once(bucket: S3Store, texts: list[str]) -> None:
    part = store_table(bucket, pa.table({"s": texts, "unread": texts}))
    batches = list(read_rows(bucket, [part], ["s"]))
    assert all(0 < batch.num_rows <= DECODE_ROWS for batch in batches)
    assert [text for batch in batches for text in batch.column("s").to_pylist()] == texts


def test_read_rows_of_long_texts_decodes_batches_bounded_by_bytes(bucket: S3Store) -> None:
    texts = [f"{n:020000d}" for n in range(2_000)]
    part = store_table(bucket, pa.table({"s": texts, "unread": texts}))
    assert max(batch.nbytes for batch in read_rows(bucket, [part], ["s"])) <= DECODE_BYTES


def test_read_rows_of_500_columns_decodes_batches_bounded_by_bytes(bucket: S3Store) -> None:
    names = [f"n{number}" for number in range(500)]
    part = store_table(bucket, pa.table({name: pa.array(range(DECODE_ROWS), pa.int64()) for name in names}))
    batches = list(read_rows(bucket, [part], names))
    assert max(batch.nbytes for batch in batches) <= DECODE_BYTES
    assert [n for batch in batches for n in batch.column("n499").to_pylist()] == list(range(DECODE_ROWS))


def test_read_rows_of_short_rows_decodes_large_batches(bucket: S3Store) -> None:
    part = store_table(bucket, pa.table({"n": range(20_000), "unread": ["x" * 5_000] * 20_000}))
    assert [batch.num_rows for batch in read_rows(bucket, [part], ["n"])] == [DECODE_ROWS, DECODE_ROWS, 3_616]
