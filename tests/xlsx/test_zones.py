"""Instants in zones, at the ends of Excel's calendar and far beyond: PostgreSQL's own text is the measure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from tests.xlsx.books import book_of, calamine, write

INSTANT = pa.timestamp("us", tz="UTC")
LITERALS = (
    "0044-03-15 12:00+00 BC", "0001-01-01 00:00+00", "0001-01-02 00:00+00", "1600-01-01", "1883-11-18 12:00",
    "1900-02-28 23:59:59", "1900-03-01 00:00:00", "2013-03-10 03:00 EDT", "2099-12-31 23:59:59", "2100-07-01",
    "2150-03-14 06:59:59+00", "2150-03-14 07:00+00", "9999-12-31 04:59:59.999999+00", "9999-12-31 20:00+00",
    "10000-01-01 02:00+00", "10000-01-01 04:59:59.999+00", "10000-01-01 05:00+00", "12345-01-01", "12345-07-01",
    "200000-07-01",
)  # fmt: skip


def instants_of(url: str, *, timezone: str) -> list[tuple[int, str]]:
    """Returns the instants, in microseconds, and what PostgreSQL prints for each."""
    with psycopg.connect(url) as connection:
        connection.execute(f"SET timezone = '{timezone}'")
        sql = "SELECT (extract(epoch FROM v) * 1000000)::bigint, v::text FROM unnest(%s::text[]::timestamptz[]) AS v"
        return connection.execute(sql, [list(LITERALS)]).fetchall()


def in_excel(text: str) -> Any:
    """Returns what a cell tells of an instant that PostgreSQL printed: the wall clock, where Excel has its day."""
    day, _, rest = text.partition(" ")
    if text.endswith(" BC") or len(day) != 10 or not "1900-03-01" <= day:
        return text
    clock = rest.split("+")[0].split("-")[0]
    found = dt.datetime.fromisoformat(f"{day} {clock}")
    return found.replace(microsecond=found.microsecond // 1000 * 1000)


def batch_of(microseconds: Sequence[int], kind: pa.DataType) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(microseconds, pa.int64()).view(kind)], schema=pa.schema([("v", kind)]))


def as_time(found: Any) -> Any:
    """Returns what calamine read; it tells midnight as a date."""
    return dt.datetime(found.year, found.month, found.day) if type(found) is dt.date else found  # noqa: DTZ001


@pytest.mark.parametrize("timezone", ["America/New_York", "Asia/Tokyo", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"])
def test_instant_of_any_year_is_the_wall_clock_that_postgresql_prints(fresh_database: str, timezone: str) -> None:
    told = instants_of(fresh_database, timezone=timezone)
    batch = batch_of([microseconds for microseconds, _ in told], INSTANT)
    files, _ = write(book_of([batch], batch.schema, timezone=timezone))
    found = [as_time(row[0]) for row in calamine(files.bodies[0])[1:]]
    assert found == [in_excel(text) for _, text in told]
