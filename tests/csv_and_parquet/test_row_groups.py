"""Row groups in stored Parquet files use limited memory, and their encodings depend on the rows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from quire.csv_and_parquet.row_groups import ROW_GROUP_BYTES, ROW_GROUP_ROWS, cut_row_groups, write_row_groups

SCHEMA = pa.schema([("number", pa.int64()), ("word", pa.string())])


def batches(rows: int, size: int, *, width: int = 1) -> Iterator[pa.RecordBatch]:
    for first in range(0, rows, size):
        numbers = range(first, min(first + size, rows))
        yield pa.RecordBatch.from_pydict(
            {"number": list(numbers), "word": [("ab"[number % 2]) * width for number in numbers]}, SCHEMA
        )


def written(arriving: Iterator[pa.RecordBatch]) -> pq.ParquetFile:
    sink = io.BytesIO()
    rows = write_row_groups(cut_row_groups(arriving, SCHEMA), SCHEMA, sink=sink, statistics=["number"])
    file = pq.ParquetFile(sink)
    assert file.metadata.num_rows == rows
    return file


@pytest.mark.parametrize("size", [1000, 65_536, 200_000])
def test_batches_of_any_size_become_bounded_groups_in_order(size: int) -> None:
    file = written(batches(200_000, size))
    assert file.read()["number"].to_pylist() == list(range(200_000))
    groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert len(groups) > 2
    assert max(groups) <= ROW_GROUP_ROWS + size
    assert max(groups) <= max(ROW_GROUP_ROWS + 1000, 65_536)


def test_row_group_of_long_texts_is_bounded_by_its_bytes() -> None:
    file = written(batches(3000, 100, width=40_000))
    sizes = [file.metadata.row_group(number).num_rows * 40_000 for number in range(file.num_row_groups)]
    assert max(sizes) <= ROW_GROUP_BYTES + 100 * 40_000
    assert file.metadata.num_rows == 3000


def test_only_repetitive_columns_have_dictionaries_and_named_statistics() -> None:
    numbers, words = (written(batches(10_000, 10_000)).metadata.row_group(0).column(column) for column in (0, 1))
    assert (numbers.has_dictionary_page, words.has_dictionary_page) == (False, True)
    assert (numbers.is_stats_set, words.is_stats_set) == (True, False)
    assert (numbers.statistics.min, numbers.statistics.max) == (0, 9999)


def test_no_rows_make_a_file_with_its_columns() -> None:
    file = written(iter(()))
    assert (file.metadata.num_rows, file.schema_arrow.names) == (0, ["number", "word"])


EXTREMES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "int2": (pa.int16(), [-(2**15), 2**15 - 1]),
    "int4": (pa.int32(), [-(2**31), 2**31 - 1]),
    "int8": (pa.int64(), [-(2**63), 2**63 - 1]),
    "date": (pa.date32(), [-(2**31), 2**31 - 1]),
    "time": (pa.time64("us"), [0, 86_400_000_000 - 1]),
    "timestamp": (pa.timestamp("us", tz="UTC"), [-(2**63), 2**63 - 1]),
    "numeric(9,2)": (pa.decimal128(9, 2), [Decimal("-9999999.99"), Decimal("9999999.99")]),
    "numeric(18,0)": (pa.decimal128(18, 0), [Decimal(-(10**18) + 1), Decimal(10**18 - 1)]),
    "numeric(19,2)": (pa.decimal128(19, 2), [Decimal("-99999999999999999.99"), Decimal("99999999999999999.99")]),
    "float8": (pa.float64(), [float("-inf"), 5e-324]),
    "text": (pa.string(), ["", "x" * 1000]),
    "bool": (pa.bool_(), [False, True]),
}


@pytest.mark.parametrize("kind", EXTREMES)
@pytest.mark.parametrize("repeats", [1, 3])  # both result in fewer rows than the minimum for a row group
def test_packed_values_are_read_back_by_arrow_and_by_polars(kind: str, repeats: int) -> None:
    arrow_type, ends = EXTREMES[kind]
    values = pa.array([ends[0], None, ends[1], ends[0]] * repeats, arrow_type)
    schema = pa.schema([("value", arrow_type)])
    sink = io.BytesIO()
    write_row_groups([pa.Table.from_arrays([values], schema=schema)], schema, sink=sink, pack=True)
    file = pq.ParquetFile(sink)
    is_packed = kind not in ("numeric(19,2)", "float8", "text", "bool") and repeats > 1
    assert ("DELTA_BINARY_PACKED" in file.metadata.row_group(0).column(0).encodings) == is_packed
    assert file.read()["value"].combine_chunks().equals(values)
    sink.seek(0)
    read = pl.scan_parquet(sink).collect().to_arrow()["value"].combine_chunks()
    assert pc.cast(read, arrow_type).equals(values)


def test_only_packed_files_use_less_supported_encodings() -> None:
    plain, packed = io.BytesIO(), io.BytesIO()
    write_row_groups(cut_row_groups(batches(10_000, 10_000), SCHEMA), SCHEMA, sink=plain)
    write_row_groups(cut_row_groups(batches(10_000, 10_000), SCHEMA), SCHEMA, sink=packed, pack=True)
    all_encodings = [pq.ParquetFile(sink).metadata.row_group(0).column(0).encodings for sink in (plain, packed)]
    assert ["DELTA_BINARY_PACKED" in encodings for encodings in all_encodings] == [False, True]
