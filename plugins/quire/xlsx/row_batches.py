"""Divides detail rows into batches whose size does not depend on how the rows arrive."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import reduce
from operator import add

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from quire.errors import WorkbookError
from quire.output_values.polars_series import to_series
from quire.xlsx.model import DetailTable

BATCH_ROWS = 8_192
BATCH_CELLS = 16 * BATCH_ROWS
BATCH_BYTES = 2 * 2**20


class DetailRows:
    """A table's remaining rows; raises an error if there are more or fewer rows than announced.

    Args:
        detail: the columns and the number of rows.
        batches: the rows, in batches from ``even_batches``.
    """

    def __init__(self, detail: DetailTable, batches: Iterator[pa.RecordBatch]) -> None:
        self._expected = detail.rows
        self._batches = batches
        self._next: pa.RecordBatch | None = None
        self.left = detail.rows

    def peek(self) -> pa.RecordBatch | None:
        """Returns the next batch without consuming it, or None if no rows are left.

        Raises:
            WorkbookError: there are fewer rows than announced.
        """
        if self._next is None:
            self._next = next(self._batches, None)
        if self._next is None and self.left:
            raise WorkbookError(f"expected {self._expected} rows, but {self.left} are missing")
        return self._next

    def take(self, max_rows: int) -> pa.RecordBatch:
        """Consumes the next batch, or its first ``max_rows`` rows.

        Raises:
            WorkbookError: there are more rows than announced, or no rows are left.
        """
        batch = self.peek()
        if batch is None:
            raise WorkbookError(f"all {self._expected} rows have already been written")
        taken, rest = batch.slice(0, max_rows), batch.slice(max_rows)
        self._next = rest if rest.num_rows else None
        self.left -= taken.num_rows
        if self.left < 0:
            raise WorkbookError(f"expected {self._expected} rows, but there are more")
        return taken

    def finish(self) -> None:
        """Checks that no rows are left.

        Raises:
            WorkbookError: there are more rows than announced.
        """
        if self.peek() is not None:
            raise WorkbookError(f"expected {self._expected} rows, but there are more")


def even_batches(detail: DetailTable) -> Generator[pa.RecordBatch]:
    """Yields a table's rows in batches whose size depends only on the rows, not on how the rows arrive.

    Several batches are in memory at once, so a batch has at most ``BATCH_ROWS`` rows, ``BATCH_CELLS`` cells and
    ``BATCH_BYTES`` bytes of text, but always at least one row.
    """
    # The same column may occur twice in a table.
    positions = [detail.schema.get_field_index(column.name) for column in detail.columns]
    max_rows = min(BATCH_ROWS, max(1, BATCH_CELLS // len(positions)))
    pieces: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in detail.batches():
        rest = _select_columns(batch, positions)
        while rest.num_rows:
            piece = rest.slice(0, _count_fitting(rest, max_rows - rows, None if not rows else BATCH_BYTES - size))
            if piece.num_rows:
                pieces.append(piece)
            rows, size = rows + piece.num_rows, size + text_bytes(piece)
            rest = rest.slice(piece.num_rows)
            if rows == max_rows or rest.num_rows:
                yield _combine(pieces)
                pieces, rows, size = [], 0, 0
    if pieces:
        yield _combine(pieces)


def text_bytes(batch: pa.RecordBatch) -> int:
    """Returns the total size of a batch's text, in bytes."""
    lengths = (pc.sum(length).as_py() for length in _lengths(batch))
    return sum(length for length in lengths if isinstance(length, int))


def _count_fitting(batch: pa.RecordBatch, rows: int, size: int | None) -> int:
    """Returns how many of the first ``rows`` rows fit in ``size`` bytes of text.

    If ``size`` is None, the rows begin a new batch, so at least one row fits.
    """
    max_bytes, batch = BATCH_BYTES if size is None else size, batch.slice(0, rows)
    if text_bytes(batch) <= max_bytes:
        return int(batch.num_rows)
    # Adds with Polars, because Arrow imports pandas, if installed, to convert an argument that is a number.
    lengths = reduce(add, (to_series(length).fill_null(0).cast(pl.Int64) for length in _lengths(batch)))
    return int((lengths.cum_sum() <= max_bytes).sum() or size is None)


def _lengths(batch: pa.RecordBatch) -> Iterator[pa.Array]:
    return (pc.binary_length(column) for column in batch.columns if pa.types.is_string(column.type))


def _select_columns(batch: pa.RecordBatch, positions: Sequence[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([batch.column(n) for n in positions], [str(n) for n in positions])


def _combine(pieces: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(pieces) == 1:
        return pieces[0]
    (batch,) = pa.Table.from_batches(pieces).combine_chunks().to_batches()
    return batch
