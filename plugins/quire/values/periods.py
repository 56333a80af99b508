"""The periods that days and instants lie in, in every year that PostgreSQL has."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from quire.date_range import Grain
from quire.values.wall_clock import CYCLE_DAYS, DAY_MICROSECONDS, INFINITE, YEAR_1, YEAR_10000, wall_clock

PERIODS = {Grain.DAY: "1d", Grain.WEEK: "1w", Grain.MONTH: "1mo", Grain.QUARTER: "1q", Grain.YEAR: "1y"}
INFINITE_DAYS = (2**31 - 1, -(2**31))
_EPOCH = date(1970, 1, 1)


def period_starts(times: pl.Series, *, every: Grain, timezone: str) -> pl.Series:
    """Returns the first day of the period that each date or time lies in; an infinite one's is that infinity.

    Args:
        times: dates, timestamps, or instants.
        every: the periods' length.
        timezone: whose days those of instants are.
    """
    days = _days(times, timezone)
    usual = days.is_between(YEAR_1 // DAY_MICROSECONDS + 7, YEAR_10000 // DAY_MICROSECONDS, closed="left").fill_null(
        value=True
    )
    if usual.all():
        return days.cast(pl.Date).dt.truncate(PERIODS[every])
    starts = days.set(~usual, None).cast(pl.Date).dt.truncate(PERIODS[every]).to_physical()
    distinct = days.filter(~usual).unique()
    told = pl.Series([_odd_start(day, every) for day in distinct], dtype=pl.Int32)
    return days.replace_strict(distinct, told, default=starts).cast(pl.Date)


def _days(times: pl.Series, timezone: str) -> pl.Series:
    if not isinstance(times.dtype, pl.Datetime):
        return times.to_physical()
    local = wall_clock(times, timezone) if times.dtype.time_zone else times.to_physical()
    days = local // DAY_MICROSECONDS
    infinite = local.is_in(INFINITE)
    if infinite.any():
        days = days.set(infinite & (local > 0), INFINITE_DAYS[0]).set(infinite & (local < 0), INFINITE_DAYS[1])
    return days.cast(pl.Int32)


def _odd_start(day: int, every: Grain) -> int:
    """Returns the first day of a period in a year that Python has not: the calendar repeats itself every 400 years."""
    if day in INFINITE_DAYS:
        return day
    cycles, rest = divmod(day, CYCLE_DAYS)
    start = every.floor(_EPOCH + timedelta(days=rest))
    return (start - _EPOCH).days + cycles * CYCLE_DAYS
