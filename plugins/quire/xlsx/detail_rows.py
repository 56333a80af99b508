"""The rows that are still to be written, in batches of one size however they came."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import pyarrow as pa

from quire.errors import WorkbookError
from quire.xlsx.model import DetailTable

BATCH_ROWS = 8_192


class DetailRows:
    """Gives rows, and makes sure that they are as many as was said.

    Args:
        detail: columns and number of rows.
        batches: the rows, in batches of ``BATCH_ROWS``.
    """

    def __init__(self, detail: DetailTable, batches: Iterator[pa.RecordBatch]) -> None:
        self._said = detail.rows
        self._batches = batches
        self._next: pa.RecordBatch | None = None
        self.left = detail.rows

    def peek(self) -> pa.RecordBatch | None:
        """Returns the next batch, which stays the next one; None at the end.

        Raises:
            WorkbookError: the end comes before all the rows that were counted.
        """
        if self._next is None:
            self._next = next(self._batches, None)
        if self._next is None and self.left:
            raise WorkbookError(f"there are {self.left} rows fewer than the {self._said} that were counted")
        return self._next

    def take(self, most: int) -> pa.RecordBatch:
        """Returns the next batch, or as many of its rows as fit. There must be a next one.

        Raises:
            WorkbookError: there are more rows than were counted.
        """
        batch = self.peek()
        if batch is None:
            raise WorkbookError(f"all {self._said} rows are written")
        taken, rest = batch.slice(0, most), batch.slice(most)
        self._next = rest if rest.num_rows else None
        self.left -= taken.num_rows
        if self.left < 0:
            raise WorkbookError(f"there are more rows than the {self._said} that were counted")
        return taken

    def finish(self) -> None:
        """Makes sure that no row is left."""
        if self.peek() is not None:
            raise WorkbookError(f"there are more rows than the {self._said} that were counted")


def even_batches(detail: DetailTable) -> Generator[pa.RecordBatch]:
    """Gives a table's rows in batches of ``BATCH_ROWS``, the last one smaller: the same rows give the same bytes."""
    places = [detail.schema.get_field_index(column.name) for column in detail.columns]  # a column may be shown twice
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in detail.batches():
        columns = _columns(batch, places)
        if not rows and columns.num_rows == BATCH_ROWS:
            yield columns
            continue
        waiting.append(columns)
        rows += columns.num_rows
        while rows >= BATCH_ROWS:
            table = pa.Table.from_batches(waiting)
            yield _one_batch(table.slice(0, BATCH_ROWS))
            rows -= BATCH_ROWS
            waiting = table.slice(BATCH_ROWS).to_batches()
    if rows:
        yield _one_batch(pa.Table.from_batches(waiting))


def _columns(batch: pa.RecordBatch, places: Sequence[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([batch.column(place) for place in places], [str(place) for place in places])


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    (batch,) = table.combine_chunks().to_batches()
    return batch
