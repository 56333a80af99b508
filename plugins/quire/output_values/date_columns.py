"""Converts date and time columns to local times and to periods, across PostgreSQL's full range."""

from __future__ import annotations

import polars as pl

from quire.date_range import Grain
from quire.output_values.polars_series import map_distinct
from quire.output_values.unrepresentable_dates import (
    CYCLE_DAYS,
    DAY_MICROSECONDS,
    DAYS_BOUNDS,
    INFINITE_DAYS,
    INFINITE_MICROSECONDS,
    MICROSECONDS_BOUNDS,
    YEAR_1,
    YEAR_10000,
    days_since_epoch,
    to_python_date,
    utc_offset,
)

_PERIODS = {Grain.DAY: "1d", Grain.WEEK: "1w", Grain.MONTH: "1mo", Grain.QUARTER: "1q", Grain.YEAR: "1y"}
_YEAR_2100 = days_since_epoch(2100, 1, 1) * DAY_MICROSECONDS  # from 2100 on, Polars 2.1.0 ignores daylight saving time


def wall_clock(times: pl.Series, timezone: str) -> pl.Series:
    """Converts a column to local times, in microseconds since 1970-01-01; infinity remains infinity.

    Args:
        times: timestamps with time zone.
        timezone: the IANA name of the target time zone.
    """
    microseconds = times.to_physical()
    is_supported = microseconds.is_between(YEAR_1 + 2 * DAY_MICROSECONDS, _YEAR_2100, closed="left")
    is_supported = is_supported.fill_null(value=True)
    supported = microseconds if is_supported.all() else microseconds.set(~is_supported, None)
    aware = supported.cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(timezone)
    local = aware.dt.replace_time_zone(None).to_physical()
    if is_supported.all():
        return local
    return map_distinct(microseconds, ~is_supported, lambda time: _local_time(time, timezone), default=local)


def _local_time(microseconds: int, timezone: str) -> int:
    if microseconds in INFINITE_MICROSECONDS:
        return microseconds
    lowest, highest = MICROSECONDS_BOUNDS
    return max(min(microseconds + utc_offset(microseconds, timezone), highest - 1), lowest + 1)


def period_starts(times: pl.Series, *, every: Grain, timezone: str) -> pl.Series:
    """Returns the first day of each time's period; infinity remains infinity.

    Args:
        times: dates, or timestamps with or without time zone.
        every: the period length.
        timezone: the IANA name of the time zone in which timestamps with time zone are assigned to days.
    """
    days = _local_days(times, timezone)
    first, last = YEAR_1 // DAY_MICROSECONDS + 7, YEAR_10000 // DAY_MICROSECONDS
    is_supported = days.is_between(first, last, closed="left").fill_null(value=True)
    if is_supported.all():
        return days.cast(pl.Date).dt.truncate(_PERIODS[every])
    starts = days.set(~is_supported, None).cast(pl.Date).dt.truncate(_PERIODS[every]).to_physical()
    return map_distinct(days, ~is_supported, lambda day: _period_start(day, every), default=starts).cast(pl.Date)


def _local_days(times: pl.Series, timezone: str) -> pl.Series:
    if not isinstance(times.dtype, pl.Datetime):
        return times.to_physical()
    local = wall_clock(times, timezone) if times.dtype.time_zone else times.to_physical()
    days = local // DAY_MICROSECONDS
    is_infinite = local.is_in(list(INFINITE_MICROSECONDS))
    if is_infinite.any():
        lowest, highest = DAYS_BOUNDS
        days = days.set(is_infinite & (local > 0), highest).set(is_infinite & (local < 0), lowest)
    return days.cast(pl.Int32)


def _period_start(days: int, every: Grain) -> int:
    if days in INFINITE_DAYS:
        return days
    day, cycles = to_python_date(days)
    start = every.floor(day)
    return days_since_epoch(start.year, start.month, start.day) + cycles * CYCLE_DAYS
