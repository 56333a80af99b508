"""A batch's size depends only on the rows."""

from __future__ import annotations

import pyarrow as pa
import pytest
from quire.xlsx.model import DetailTable
from quire.xlsx.row_batches import BATCH_BYTES, BATCH_CELLS, BATCH_ROWS, even_batches, text_bytes

from tests.fast_mode import sized
from tests.xlsx.books import book_of


def table(batches: list[pa.RecordBatch]) -> DetailTable:
    detail = book_of(batches, batches[0].schema).detail
    assert detail is not None
    return detail


def wide(columns: int, rows: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(range(rows))] * columns, [f"c{n}" for n in range(columns)])


def texts(sizes: list[int | None]) -> pa.RecordBatch:
    values = pa.array([None if size is None else "x" * size for size in sizes], pa.string())
    return pa.RecordBatch.from_arrays([values, pa.array(range(len(sizes)))], ["t", "n"])


@pytest.mark.parametrize(("columns", "rows"), [(1, BATCH_ROWS), (16, BATCH_ROWS), (32, BATCH_ROWS // 2), (500, 262)])
def test_even_batches_many_columns_have_fewer_rows(columns: int, rows: int) -> None:
    row_counts = [batch.num_rows for batch in even_batches(table([wide(columns, 10_000)]))]
    assert set(row_counts[:-1]) == {rows}
    assert rows * columns <= BATCH_CELLS
    assert sum(row_counts) == 10_000


def test_even_batches_long_texts_have_fewer_rows_but_at_least_one() -> None:
    sizes = [BATCH_BYTES - 1, 1, 1, BATCH_BYTES + 7, None, BATCH_BYTES, 0, 5]
    assert [batch.num_rows for batch in even_batches(table([texts(sizes)]))] == [2, 1, 1, 3, 1]


@pytest.mark.parametrize("size", [1, 7, 1000, 9000])
def test_even_batches_any_input_batch_size_yields_same_batches(size: int) -> None:
    batch = texts([(number * 7919) % 3001 for number in range(sized(20_000, fast=5_000))])
    pieces = [batch.slice(start, size) for start in range(0, batch.num_rows, size)]
    expected, batches = list(even_batches(table([batch]))), list(even_batches(table(pieces)))
    assert all(text_bytes(piece) <= BATCH_BYTES for piece in expected)
    assert len(expected) > 3
    assert batches == expected
