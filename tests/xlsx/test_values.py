"""Two independent libraries read cells of every type and find the documented values."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from quire.xlsx.model import SheetColumn, TableSheet

from tests.xlsx.books import book_of, by_openpyxl, calamine, cell, write, write_rows

DECIMAL = pa.decimal128(18, 2)
WIDE = pa.decimal128(38, 0)
WALL = pa.timestamp("us")
INSTANT = pa.timestamp("us", tz="UTC")
TIME = pa.time64("us")
UTC = dt.UTC


def written(kind: pa.DataType, value: Any) -> bytes:
    """Returns a workbook with the value in cell A2 and a NULL in A3."""
    schema = pa.schema([("v", kind)])
    body, _ = write_rows([{"v": value}, {"v": None}], schema)
    return body


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (pa.bool_(), True, True),
        (pa.bool_(), False, False),
        (pa.int16(), -32768, -32768),
        (pa.int64(), 999_999_999_999_999, 999_999_999_999_999),
        (pa.int64(), -999_999_999_999_999, -999_999_999_999_999),
        (pa.int64(), 1_000_000_000_000_000, "1000000000000000"),
        (pa.int64(), -9_223_372_036_854_775_808, "-9223372036854775808"),
        (DECIMAL, Decimal("12.50"), 12.5),
        (DECIMAL, Decimal("9999999999999.99"), 9999999999999.99),
        (DECIMAL, Decimal("-1234567890123456.78"), "-1234567890123456.78"),
        (DECIMAL, Decimal("1234567890120000.00"), 1234567890120000.0),
        (WIDE, Decimal("12345678901234567890"), "12345678901234567890"),
        (pa.float64(), 0.1, 0.1),
        (pa.float64(), 1e300, 1e300),
        (pa.float64(), 5e-324, 5e-324),
        (pa.float64(), float("nan"), "NaN"),
        (pa.float64(), float("inf"), "Infinity"),
        (pa.float64(), float("-inf"), "-Infinity"),
        (pa.float32(), 0.1, 0.1),
        (pa.date32(), dt.date(1900, 3, 1), dt.date(1900, 3, 1)),
        (pa.date32(), dt.date(9999, 12, 31), dt.date(9999, 12, 31)),
        (pa.date32(), dt.date(1900, 2, 28), "1900-02-28"),
        (pa.date32(), dt.date(1, 1, 1), "0001-01-01"),
        (WALL, dt.datetime(2013, 3, 10, 2, 30), dt.datetime(2013, 3, 10, 2, 30)),  # noqa: DTZ001
        (WALL, dt.datetime(1800, 1, 1, 12), "1800-01-01 12:00:00"),  # noqa: DTZ001
        (INSTANT, dt.datetime(2013, 3, 10, 6, 59, 59, tzinfo=UTC), dt.datetime(2013, 3, 10, 1, 59, 59)),  # noqa: DTZ001
        (INSTANT, dt.datetime(2013, 3, 10, 7, tzinfo=UTC), dt.datetime(2013, 3, 10, 3)),  # noqa: DTZ001
        (INSTANT, dt.datetime(1800, 1, 1, tzinfo=UTC), "1799-12-31 19:03:58-04:56:02"),
        (TIME, dt.time(12), dt.time(12)),
        (pa.string(), "", ""),
        (pa.string(), "plain", "plain"),
    ],
)
def test_cell_of_any_type_reads_back_as_documented(kind: pa.DataType, value: Any, expected: Any) -> None:
    body = written(kind, value)
    assert calamine(body)[1][0] == expected
    value_read = by_openpyxl(body)[1][0]
    if isinstance(expected, dt.date) and not isinstance(expected, dt.datetime):
        value_read = value_read.date()
    assert value_read == expected
    assert type(calamine(body)[1][0]) is type(expected) or isinstance(expected, int | float)


@pytest.mark.parametrize(
    "kind", [pa.bool_(), pa.int64(), DECIMAL, pa.float64(), pa.date32(), WALL, INSTANT, TIME, pa.string()]
)
def test_cell_of_null_is_omitted(kind: pa.DataType) -> None:
    body, _ = write_rows([{"v": None, "n": 1}], pa.schema([("v", kind), ("n", pa.int32())]))
    assert cell(body, "A2").value is None
    assert by_openpyxl(body)[1] == (None, 1)


@pytest.mark.parametrize(
    ("kind", "physical", "expected"),
    [
        (pa.date32(), 2**31 - 1, "infinity"),
        (pa.date32(), -(2**31), "-infinity"),
        (pa.date32(), -735_160, "0044-03-15 BC"),
        (pa.date32(), 2_932_897, "10000-01-01"),
        (WALL, 2**63 - 1, "infinity"),
        (WALL, -(2**63) + 1, "-infinity"),
        (INSTANT, 2**63 - 1, "infinity"),
        (INSTANT, -(2**63) + 1, "-infinity"),
        (WALL, -735_160 * 86_400_000_000 + 43_200_000_000, "0044-03-15 12:00:00 BC"),
        (WALL, 2_932_897 * 86_400_000_000 + 1_500_000, "10000-01-01 00:00:01.5"),
    ],
)
def test_cell_of_unrepresentable_date_is_postgresql_text(kind: pa.DataType, physical: int, expected: str) -> None:
    integers = pa.array([physical, 0], pa.int32() if kind == pa.date32() else pa.int64())
    batch = pa.RecordBatch.from_arrays([integers.view(kind)], schema=pa.schema([("v", kind)]))
    files, _ = write(book_of([batch], batch.schema))
    rows = calamine(files.bodies[0])
    assert rows[1][0] == expected
    assert rows[2][0] != ""


def test_cell_of_timestamp_is_precise_to_the_millisecond() -> None:
    time = dt.datetime(2013, 7, 1, 12, 34, 56, 789_000)  # noqa: DTZ001
    assert calamine(written(WALL, time))[1][0] == time
    assert calamine(written(WALL, time.replace(microsecond=789_999)))[1][0] == time


@pytest.mark.parametrize(
    ("kind", "microseconds", "expected"),
    [
        (WALL, 86_400_000_000 - 1, dt.datetime(1970, 1, 1, 23, 59, 59, 999_000)),  # noqa: DTZ001
        (WALL, -1, dt.datetime(1969, 12, 31, 23, 59, 59, 999_000)),  # noqa: DTZ001
        (INSTANT, 5 * 3_600_000_000 - 1, dt.datetime(1969, 12, 31, 23, 59, 59, 999_000)),  # noqa: DTZ001
        (WALL, 2_932_897 * 86_400_000_000 - 1, dt.datetime(9999, 12, 31, 23, 59, 59, 999_000)),  # noqa: DTZ001
        (TIME, 86_400_000_000 - 1, dt.time(23, 59, 59, 999_000)),
        (WALL, -25_508 * 86_400_000_000 - 1, "1900-02-28 23:59:59.999999"),
    ],
)
def test_cell_of_last_microsecond_of_a_day_stays_in_that_day(
    kind: pa.DataType, microseconds: int, expected: Any
) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([microseconds]).view(kind)], schema=pa.schema([("v", kind)]))
    files, _ = write(book_of([batch], batch.schema))
    assert calamine(files.bodies[0])[1][0] == expected


@pytest.mark.parametrize("text", ["1.5", "-0.001", "123456789012345", "1500000000000000000", "0"])
def test_numeric_without_scale_up_to_15_digits_is_a_number(text: str) -> None:
    assert numeric_text(text) == float(text)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1234567890123456", "0.1234567890123456"])
def test_numeric_without_scale_beyond_15_digits_is_text(text: str) -> None:
    assert numeric_text(text) == text


def numeric_text(text: str) -> Any:
    schema = pa.schema([("v", pa.string())])
    columns = [SheetColumn(name="v", title="V", numeric_text=True)]
    return calamine(write_rows([{"v": text}], schema, columns=columns)[0])[1][0]


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        (pa.int32(), 1, "0"),
        (DECIMAL, Decimal(1), "#,##0.00"),
        (pa.decimal128(9, 0), Decimal(1), "0"),
        (pa.float64(), 1.5, "General"),
        (pa.date32(), dt.date(2013, 1, 1), "yyyy-mm-dd"),
        (WALL, dt.datetime(2013, 1, 1), "yyyy-mm-dd hh:mm:ss"),  # noqa: DTZ001
        (TIME, dt.time(1), "hh:mm:ss"),
        (pa.string(), "a", "General"),
    ],
)
def test_number_format_of_cell_is_the_types_default(kind: pa.DataType, value: Any, code: str) -> None:
    assert cell(written(kind, value), "A2").number_format == code


@pytest.mark.parametrize(
    ("kind", "value", "is_quoted"),
    [
        (pa.float64(), float("-inf"), True),
        (pa.float64(), float("inf"), False),
        (pa.float64(), -1.5, False),
        (pa.int64(), -12_345_678_901_234_567, True),
        (pa.int64(), 12_345_678_901_234_567, False),
        (DECIMAL, Decimal("-1234567890123456.78"), True),
        (pa.date32(), dt.date(1, 1, 1), False),
    ],
)
def test_number_written_as_text_is_quoted_if_it_begins_like_a_formula(
    kind: pa.DataType, value: Any, is_quoted: bool
) -> None:
    assert bool(cell(written(kind, value), "A2").quotePrefix) is is_quoted


@pytest.mark.parametrize("days", [2**31 - 1, -(2**31), -735_160])
def test_date_written_as_text_is_quoted_alike_in_rows_and_static_sheets(days: int) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([days], pa.int32()).view(pa.date32())], ["v"])
    sheet = TableSheet(
        sheet_name="T", heading="T", columns=(SheetColumn(name="v", title="V"),), table=pa.Table.from_batches([batch])
    )
    files, _ = write(book_of([batch], batch.schema, static_sheets=lambda _: (sheet,)))
    static_cell = list(openpyxl.load_workbook(io.BytesIO(files.bodies[0]))["T"])[-1][0]
    detail_cell = cell(files.bodies[0], "A2")
    assert (detail_cell.value, bool(detail_cell.quotePrefix)) == (static_cell.value, bool(static_cell.quotePrefix))
    assert bool(detail_cell.quotePrefix) is detail_cell.value.startswith("-")
