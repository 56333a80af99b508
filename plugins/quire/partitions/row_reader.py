"""Staged rows, read back in order and in small batches, by ranges of the Parquet objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from quire.errors import DamagedObjectError, first_line
from quire.object_store import Store
from quire.partitions.cache import evict_damaged_rows
from quire.records.stage_records import RowSlice, StagedPartition

BATCH_ROWS = 8_192
BATCH_BYTES = 4 * 1024 * 1024


def read_rows(store: Store, slices: Sequence[RowSlice], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Gives the rows of the slices, one after the other; holds one row group.

    A batch has at most ``BATCH_ROWS``, and at most ``BATCH_BYTES`` unless a single row has more.

    Args:
        store: where the objects are.
        slices: which rows.
        names: which columns, in this order.

    Raises:
        DamagedObjectError: an object is not what it was, or has fewer rows than the slice says; its partition is a
            cache miss now.
    """
    for part in slices:
        yield from _read_slice(store, part, names)


def _read_slice(store: Store, part: RowSlice, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if not part.rows:
        return
    with evict_on_damage(store, part.object_key):
        file = open_rows(store, part)
        skip, left = part.offset, part.rows
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if skip >= rows:
                skip -= rows
                continue
            size = _batch_rows(file.metadata.row_group(group), names)
            for batch in file.iter_batches(size, row_groups=[group], columns=list(names)):
                taken = batch.slice(skip, left)
                skip = max(0, skip - batch.num_rows)
                left -= taken.num_rows
                yield from _cut(taken.select(list(names)))
            if not left:
                return
        raise DamagedObjectError(
            f"{part.object_key} gave {part.rows - left} rows where there were {part.rows}: run it again"
        )


def open_rows(store: Store, part: RowSlice | StagedPartition) -> pq.ParquetFile:
    """Returns a partition's rows; whatever is read of them is verified, footer and page headers too.

    Raises:
        DamagedObjectError: the object is missing, or not what was stored.
    """
    file = store.open_verified(part.object_key, part.bytes, part.checksums)
    return pq.ParquetFile(file, pre_buffer=True, page_checksum_verification=True)


@contextmanager
def evict_on_damage(store: Store, object_key: str) -> Iterator[None]:
    """Makes a cache miss of a partition whose rows turn out to be damaged inside the block.

    Raises:
        DamagedObjectError: they are.
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
    """Whether PyArrow reports bytes that it cannot decode.

    It raises a plain OSError without a number for those. The operating system's errors have a number, or a class.
    """
    return isinstance(error, pa.ArrowInvalid) or (type(error) is OSError and error.errno is None)


def _batch_rows(group: pq.RowGroupMetaData, names: Sequence[str]) -> int:
    """Returns how many rows to decode at a time, so far as the encoded sizes of the columns tell."""
    wanted = set(names)
    chunks = (group.column(place) for place in range(group.num_columns))
    size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in wanted)
    rows: int = group.num_rows * BATCH_BYTES // max(1, size)
    return min(BATCH_ROWS, max(1, rows))


def _cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves a batch until no piece is too large: rows may be uneven, and larger than they were encoded."""
    if batch.num_rows > 1 and batch.nbytes > BATCH_BYTES:
        middle = batch.num_rows // 2
        yield from _cut(batch.slice(0, middle))
        yield from _cut(batch.slice(middle))
    elif batch.num_rows:
        yield batch
