"""Detail rows in batches of uniform size, whatever the size of the batches they arrive in."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import reduce
from operator import add

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from quire.errors import WorkbookError
from quire.values.polars_series import to_series
from quire.xlsx.model import DetailTable

BATCH_ROWS = 8_192
BATCH_CELLS = 16 * BATCH_ROWS
BATCH_BYTES = 2 * 2**20


class DetailRows:
    """The rows that are left to write; checks that there are as many as announced.

    Args:
        detail: columns and number of rows.
        batches: the rows, as ``even_batches`` yields them.
    """

    def __init__(self, detail: DetailTable, batches: Iterator[pa.RecordBatch]) -> None:
        self._expected = detail.rows
        self._batches = batches
        self._next: pa.RecordBatch | None = None
        self.left = detail.rows

    def peek(self) -> pa.RecordBatch | None:
        """Returns the next batch without taking it; None at the end.

        Raises:
            WorkbookError: there are fewer rows than announced.
        """
        if self._next is None:
            self._next = next(self._batches, None)
        if self._next is None and self.left:
            raise WorkbookError(f"there are {self.left} rows fewer than the {self._expected} that were counted")
        return self._next

    def take(self, most: int) -> pa.RecordBatch:
        """Takes the next batch, or its first ``most`` rows.

        Raises:
            WorkbookError: there are more rows than announced, or none left.
        """
        batch = self.peek()
        if batch is None:
            raise WorkbookError(f"all {self._expected} rows are written")
        taken, rest = batch.slice(0, most), batch.slice(most)
        self._next = rest if rest.num_rows else None
        self.left -= taken.num_rows
        if self.left < 0:
            raise WorkbookError(f"there are more rows than the {self._expected} that were counted")
        return taken

    def finish(self) -> None:
        """Checks that no row is left.

        Raises:
            WorkbookError: there are more rows than announced.
        """
        if self.peek() is not None:
            raise WorkbookError(f"there are more rows than the {self._expected} that were counted")


def even_batches(detail: DetailTable) -> Generator[pa.RecordBatch]:
    """Yields a table's rows in batches whose size depends on the rows only, so the same rows give the same bytes.

    A batch has ``BATCH_ROWS`` rows, or fewer if it would exceed ``BATCH_CELLS`` cells or ``BATCH_BYTES`` of text, since
    several batches are in memory at a time. It has at least one row.
    """
    places = [
        detail.schema.get_field_index(column.name) for column in detail.columns
    ]  # the same column may occur twice
    most = min(BATCH_ROWS, max(1, BATCH_CELLS // len(places)))
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in detail.batches():
        rest = _columns(batch, places)
        while rest.num_rows:
            fitting = rest.slice(0, _fitting(rest, most - rows, None if not rows else BATCH_BYTES - size))
            if fitting.num_rows:
                waiting.append(fitting)
            rows, size = rows + fitting.num_rows, size + text_bytes(fitting)
            rest = rest.slice(fitting.num_rows)
            if rows == most or rest.num_rows:
                yield _one_batch(waiting)
                waiting, rows, size = [], 0, 0
    if waiting:
        yield _one_batch(waiting)


def text_bytes(batch: pa.RecordBatch) -> int:
    """Returns the total size of a batch's texts in bytes."""
    lengths = (pc.sum(length).as_py() for length in _lengths(batch))
    return sum(length for length in lengths if isinstance(length, int))


def _fitting(batch: pa.RecordBatch, rows: int, size: int | None) -> int:
    """Returns how many of the first ``rows`` rows have at most ``size`` bytes of text.

    If ``size`` is None, the rows begin a new batch, which always takes its first row.
    """
    most, batch = BATCH_BYTES if size is None else size, batch.slice(0, rows)
    if text_bytes(batch) <= most:
        return int(batch.num_rows)
    # Not with Arrow, which imports pandas, if installed, to convert a number among its arguments.
    lengths = reduce(add, (to_series(length).fill_null(0).cast(pl.Int64) for length in _lengths(batch)))
    return int((lengths.cum_sum() <= most).sum() or size is None)


def _lengths(batch: pa.RecordBatch) -> Iterator[pa.Array]:
    return (pc.binary_length(column) for column in batch.columns if pa.types.is_string(column.type))


def _columns(batch: pa.RecordBatch, places: Sequence[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([batch.column(place) for place in places], [str(place) for place in places])


def _one_batch(waiting: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(waiting) == 1:
        return waiting[0]
    (batch,) = pa.Table.from_batches(waiting).combine_chunks().to_batches()
    return batch
