"""The periods in summary keys equal PostgreSQL's date_trunc results, even for unusual dates."""

from __future__ import annotations

import polars as pl
import psycopg
import pytest
from quire.date_range import Grain
from quire.output_values.date_columns import period_starts
from quire.output_values.unrepresentable_dates import date_text

ZONE = "America/New_York"
IN_ORDER = "FROM unnest(%s::text[]) WITH ORDINALITY AS t(v, n) ORDER BY n"
MOMENTS = (
    "infinity",
    "-infinity",
    "0044-03-15 12:00:00 BC",
    "0001-01-01 12:00:00",
    "1883-11-18 17:00:00",
    "1969-12-31 23:59:59.999999",
    "2013-03-31 23:30:00",
    "2099-12-31 23:59:59",
    "2100-07-01 04:30:00",
    "2150-07-01 03:30:00",
    "9999-12-31 12:00:00",
    "12013-06-15 12:00:00",
)


def stored(url: str, kind: str) -> pl.Series:
    """Returns times as Parquet stores them, in days or microseconds since 1970; infinities are the integer limits."""
    with psycopg.connect(url) as connection:
        sql = "SELECT (extract(epoch FROM v::timestamp) * 1000000)::bigint " + IN_ORDER
        finite = [row[0] for row in connection.execute(sql, [list(MOMENTS[2:])]).fetchall()]
    if kind == "date":
        return pl.Series("at", [2**31 - 1, -(2**31), *(moment // 86_400_000_000 for moment in finite)], dtype=pl.Int32)
    return pl.Series("at", [2**63 - 1, -(2**63) + 1, *finite], dtype=pl.Int64)


def expected(url: str, every: str, kind: str) -> list[str]:
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('timezone', %s, false)", [ZONE])
        zoned = "(v::timestamp AT TIME ZONE 'UTC')" if kind == "timestamptz" else f"v::timestamp::{kind}"
        query = f"SELECT date_trunc('{every}', {zoned})::date::text " + IN_ORDER
        return [row[0] for row in connection.execute(query, [list(MOMENTS)]).fetchall()]


@pytest.mark.parametrize("every", list(Grain))
@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_period_of_unusual_times_equals_postgresql(flights_url: str, every: Grain, kind: str) -> None:
    types = {"timestamptz": pl.Datetime("us", "UTC"), "timestamp": pl.Datetime("us"), "date": pl.Date()}
    starts = period_starts(stored(flights_url, kind).cast(types[kind]), every=every, timezone=ZONE)
    assert starts.dtype == pl.Date
    assert [date_text(day) for day in starts.to_physical()] == expected(flights_url, every, kind)


def test_period_of_null_is_null() -> None:
    values = pl.Series("at", [None], dtype=pl.Datetime("us", "UTC"))
    assert period_starts(values, every=Grain.MONTH, timezone=ZONE).to_list() == [None]
