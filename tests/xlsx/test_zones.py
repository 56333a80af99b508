"""Compares timestamps in time zones, at and beyond Excel's calendar limits, with PostgreSQL's output."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from quire.xlsx.model import SheetColumn, TableSheet

from tests.xlsx.books import ZONE, book_of, calamine, write

INSTANT = pa.timestamp("us", tz="UTC")
LITERALS = (
    "0044-03-15 12:00+00 BC", "0001-01-01 00:00+00", "0001-01-02 00:00+00", "1600-01-01", "1883-11-18 12:00",
    "1900-02-28 23:59:59", "1900-03-01 00:00:00", "2013-03-10 03:00 EDT", "2099-12-31 23:59:59", "2100-07-01",
    "2150-03-14 06:59:59+00", "2150-03-14 07:00+00", "9999-12-31 04:59:59.999999+00", "9999-12-31 20:00+00",
    "10000-01-01 02:00+00", "10000-01-01 04:59:59.999+00", "10000-01-01 05:00+00", "12345-01-01", "12345-07-01",
    "200000-07-01",
)  # fmt: skip


def query_timestamps(url: str, *, timezone: str) -> list[tuple[int, str]]:
    """Returns each timestamp in microseconds and as PostgreSQL prints it."""
    with psycopg.connect(url) as connection:
        connection.execute(f"SET timezone = '{timezone}'")
        sql = "SELECT (extract(epoch FROM v) * 1000000)::bigint, v::text FROM unnest(%s::text[]::timestamptz[]) AS v"
        return connection.execute(sql, [list(LITERALS)]).fetchall()


def expected_cell(text: str) -> Any:
    """Returns the cell value expected for a timestamp that PostgreSQL printed: local time if Excel can represent it."""
    day, _, rest = text.partition(" ")
    if text.endswith(" BC") or len(day) != 10 or not "1900-03-01" <= day:
        return text
    clock = rest.split("+")[0].split("-")[0]
    time = dt.datetime.fromisoformat(f"{day} {clock}")
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def batch_of(microseconds: Sequence[int], kind: pa.DataType) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(microseconds, pa.int64()).view(kind)], schema=pa.schema([("v", kind)]))


def read_from_both_sheets(batch: pa.RecordBatch, *, timezone: str) -> tuple[list[Any], list[Any]]:
    """Writes a batch to a detail sheet and to a static sheet, and returns the values that are read from each."""
    columns = (SheetColumn(name="v", title="V"),)
    sheet = TableSheet(sheet_name="T", heading="T", columns=columns, table=pa.Table.from_batches([batch]))
    files, _ = write(book_of([batch], batch.schema, timezone=timezone, static_sheets=lambda _: (sheet,)))
    return read(files.bodies[0], "Rows", 1), read(files.bodies[0], "T", 3)


def read(body: bytes, sheet: str, first: int) -> list[Any]:
    """Returns the values in a sheet's first column; calamine returns midnight as a date."""
    values = [row[0] for row in calamine(body, sheet)[first:]]
    return [dt.datetime(v.year, v.month, v.day) if type(v) is dt.date else v for v in values]  # noqa: DTZ001


@pytest.mark.parametrize("timezone", ["America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"])
def test_timestamp_of_any_year_is_the_local_time_of_postgresql(fresh_database: str, timezone: str) -> None:
    timestamps = query_timestamps(fresh_database, timezone=timezone)
    batch = batch_of([microseconds for microseconds, _ in timestamps], INSTANT)
    expected = [expected_cell(text) for _, text in timestamps]
    assert read_from_both_sheets(batch, timezone=timezone) == (expected, expected)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (2_932_895, dt.datetime(9999, 12, 30)),  # noqa: DTZ001
        (2_932_896, dt.datetime(9999, 12, 31)),  # noqa: DTZ001
        (2_932_897, "10000-01-01 00:00:00"),
        (-25_508, dt.datetime(1900, 3, 1)),  # noqa: DTZ001
        (-25_509, "1900-02-28 00:00:00"),
    ],
)
def test_timestamp_at_limits_of_excel_calendar_is_alike_on_both_sheets(days: int, expected: Any) -> None:
    batch = batch_of([days * 86_400_000_000], pa.timestamp("us"))
    assert read_from_both_sheets(batch, timezone=ZONE) == ([expected], [expected])
