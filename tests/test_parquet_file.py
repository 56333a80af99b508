"""Parquet files of row groups that a renderer can hold, encoded by what the rows look like."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.parquet_file import ROW_GROUP_BYTES, ROW_GROUP_ROWS, write_row_groups

SCHEMA = pa.schema([("number", pa.int64()), ("word", pa.string())])


def batches(rows: int, size: int, *, width: int = 1) -> Iterator[pa.RecordBatch]:
    for first in range(0, rows, size):
        numbers = range(first, min(first + size, rows))
        yield pa.RecordBatch.from_pydict(
            {"number": list(numbers), "word": [("ab"[number % 2]) * width for number in numbers]}, SCHEMA
        )


def written(arriving: Iterator[pa.RecordBatch]) -> pq.ParquetFile:
    sink = io.BytesIO()
    rows = write_row_groups(arriving, SCHEMA, sink=sink, statistics=["number"])
    found = pq.ParquetFile(sink)
    assert found.metadata.num_rows == rows
    return found


@pytest.mark.parametrize("size", [1000, 65_536, 200_000])
def test_batches_of_any_size_keep_every_row_in_order_in_bounded_groups(size: int) -> None:
    found = written(batches(200_000, size))
    assert found.read()["number"].to_pylist() == list(range(200_000))
    groups = [found.metadata.row_group(number).num_rows for number in range(found.num_row_groups)]
    assert len(groups) > 2
    assert max(groups) <= ROW_GROUP_ROWS + size
    assert max(groups) <= max(ROW_GROUP_ROWS + 1000, 65_536)


def test_row_group_of_long_texts_is_bounded_by_its_bytes() -> None:
    found = written(batches(3000, 100, width=40_000))
    sizes = [found.metadata.row_group(number).num_rows * 40_000 for number in range(found.num_row_groups)]
    assert max(sizes) <= ROW_GROUP_BYTES + 100 * 40_000
    assert found.metadata.num_rows == 3000


def test_only_repetitive_columns_are_dictionary_encoded_and_only_named_ones_have_statistics() -> None:
    numbers, words = (written(batches(10_000, 10_000)).metadata.row_group(0).column(column) for column in (0, 1))
    assert (numbers.has_dictionary_page, words.has_dictionary_page) == (False, True)
    assert (numbers.is_stats_set, words.is_stats_set) == (True, False)
    assert (numbers.statistics.min, numbers.statistics.max) == (0, 9999)


def test_no_rows_make_a_file_with_its_columns() -> None:
    found = written(iter(()))
    assert (found.metadata.num_rows, found.schema_arrow.names) == (0, ["number", "word"])
