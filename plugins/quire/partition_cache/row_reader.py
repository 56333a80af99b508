"""Reads staged rows in order and in small batches, using range reads of Parquet objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from quire.errors import DamagedObjectError, first_line
from quire.object_store import Store
from quire.partition_cache.cache import evict_damaged_rows
from quire.record_types.stage_records import RowSlice, StagedPartition

# How much to decode at a time. The limits keep memory usage small while Parquet is decoded. They do not determine the
# workbook writer's batches, whose boundaries depend on the rows alone (quire.xlsx.row_batches).
DECODE_ROWS = 8_192
DECODE_BYTES = 4 * 1024 * 1024


def read_rows(store: Store, slices: Sequence[RowSlice], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields the slices' rows in order. Decodes rows on demand, with one row group in memory at a time.

    A batch has at most ``DECODE_ROWS`` rows and about ``DECODE_BYTES`` bytes, estimated from its columns' encoded size.
    Uneven or repetitive rows can make a batch larger, but never larger than its row group.

    Args:
        store: the object store.
        slices: the rows to read.
        names: the columns to return, in this order.

    Raises:
        DamagedObjectError: an object is damaged or has fewer rows than its slice. The partition has been evicted from
            the cache.
    """
    for part in slices:
        yield from _read_slice(store, part, names)


def _read_slice(store: Store, part: RowSlice, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if not part.rows:
        return
    with evict_on_damage(store, part.object_key):
        file = open_rows(store, part)
        skip, remaining = part.offset, part.rows
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if skip >= rows:
                skip -= rows
                continue
            size = _batch_rows(file.metadata.row_group(group), names)
            for batch in file.iter_batches(size, row_groups=[group], columns=list(names)):
                selected_rows = batch.slice(skip, remaining)
                skip = max(0, skip - batch.num_rows)
                remaining -= selected_rows.num_rows
                if selected_rows.num_rows:
                    yield selected_rows.select(list(names))
            if not remaining:
                return
        raise DamagedObjectError(
            f"{part.object_key} has {part.rows - remaining} of the expected {part.rows} rows: run the report again"
        )


def open_rows(store: Store, part: RowSlice | StagedPartition) -> pq.ParquetFile:
    """Opens a partition's rows. Every read verifies checksums, including reads of the footer and page headers.

    Raises:
        DamagedObjectError: the object is missing or damaged.
    """
    file = store.open_verified(part.object_key, part.bytes, part.checksums)
    return pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)


@contextmanager
def evict_on_damage(store: Store, object_key: str) -> Iterator[None]:
    """Evicts a partition from the cache if the block fails because the partition's rows are damaged.

    Raises:
        DamagedObjectError: the rows are damaged.
    """
    try:
        yield
    except DamagedObjectError as error:
        evict_damaged_rows(store, object_key, error)
        raise
    except (pa.ArrowInvalid, OSError) as error:
        if not _is_damage(error):
            raise
        damage = DamagedObjectError(f"{object_key} cannot be read as Parquet: {first_line(error)}")
        evict_damaged_rows(store, object_key, damage)
        raise damage from error


def _is_damage(error: Exception) -> bool:
    """Returns whether an error means that PyArrow failed to decode bytes.

    PyArrow reports damaged bytes as ArrowInvalid or as a plain OSError without an errno. OSErrors from the operating
    system have an errno or belong to a subclass.
    """
    return isinstance(error, pa.ArrowInvalid) or (type(error) is OSError and error.errno is None)


def _batch_rows(group: pq.RowGroupMetaData, names: Sequence[str]) -> int:
    """Estimates how many rows to decode at a time, based on the columns' encoded size."""
    selected = set(names)
    chunks = (group.column(index) for index in range(group.num_columns))
    size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in selected)
    rows: int = group.num_rows * DECODE_BYTES // max(1, size)
    return min(DECODE_ROWS, max(1, rows))
