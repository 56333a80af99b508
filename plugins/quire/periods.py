"""The first day of each value's period, in the report's time zone, as PostgreSQL's date_trunc finds it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl

from quire.calendar_range import Grain, zone

LENGTHS = {Grain.DAY: "1d", Grain.WEEK: "1w", Grain.MONTH: "1mo", Grain.QUARTER: "1q", Grain.YEAR: "1y"}
DAY_MICROSECONDS = 86_400_000_000
LAST_RULES = 4_102_444_800_000_000  # 2100-01-01: from then on, Polars knows no summer time (seen in 2.1.0)
PYTHON_DAYS = (date.min - date(1970, 1, 1)).days, (date.max - date(1970, 1, 1)).days
POLARS_DAYS = -96_465_292, 95_026_236  # chrono's years -262,143 to 262,142, a year less on either side
INFINITE_DAYS = -(2**31), 2**31 - 1
INFINITE_MICROSECONDS = -(2**63) + 1, 2**63 - 1


def period_starts(column: pl.Expr, every: Grain, kind: pl.DataType, *, timezone: str) -> pl.Expr:
    """Returns dates: the first day of the period that each value lies in; infinite ones stay what they are.

    Args:
        column: dates, timestamps or instants, as they are stored.
        every: the period.
        kind: the column's type.
        timezone: IANA name, of the days that instants lie in.

    Raises:
        polars.exceptions.ComputeError: when it runs, of a date that Polars' calendar has not, beyond 262,000 years.
    """

    def starts(values: pl.Series) -> pl.Series:
        return _truncated(_days(values, kind, timezone), every)

    return column.map_batches(starts, return_dtype=pl.Date, is_elementwise=True)


def _days(values: pl.Series, kind: pl.DataType, timezone: str) -> pl.Series:
    """Returns days since 1970-01-01 of the wall clock; infinities as a date has them."""
    if not isinstance(kind, pl.Datetime):
        return values.to_physical().cast(pl.Int64)
    instants = values.to_physical()
    finite = instants.is_between(*INFINITE_MICROSECONDS, closed="none")
    local = _local(instants.set(~finite, None), timezone) if kind.time_zone else instants
    days = local // DAY_MICROSECONDS
    ends = instants.filter(~finite).unique()
    return instants.replace_strict(ends, [INFINITE_DAYS[end > 0] for end in ends], default=days) if len(ends) else days


def _local(instants: pl.Series, timezone: str) -> pl.Series:
    first = PYTHON_DAYS[0] * DAY_MICROSECONDS
    near = instants.is_between(first, LAST_RULES, closed="left")
    known = instants.set(~near, None).cast(pl.Datetime("us", "UTC"))
    local = known.dt.convert_time_zone(timezone).dt.replace_time_zone(None).to_physical()
    far = instants.filter(~near).unique()
    if not len(far):
        return local
    return instants.replace_strict(far, [instant + _offset(instant, timezone) for instant in far], default=local)


def _offset(instant: int, timezone: str) -> int:
    """Returns a zone's distance to UTC in microseconds; none outside the years that Python has."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)
        offset = moment.astimezone(zone(timezone)).utcoffset()
    except OverflowError:
        return 0
    return offset // timedelta(microseconds=1) if offset else 0


def _truncated(days: pl.Series, every: Grain) -> pl.Series:
    infinite = days.is_in(INFINITE_DAYS).fill_null(value=False)
    finite = days.set(infinite, None)
    least, most = finite.min(), finite.max()
    if isinstance(least, int) and isinstance(most, int) and not POLARS_DAYS[0] <= least <= most <= POLARS_DAYS[1]:
        raise pl.exceptions.ComputeError(f"a date beyond 262,000 years has no {every.value} here")
    starts = finite.cast(pl.Int32).cast(pl.Date).dt.truncate(LENGTHS[every])
    if not infinite.any():
        return starts
    return (
        pl.select(pl.when(infinite).then(days).otherwise(starts.to_physical())).to_series().cast(pl.Int32).cast(pl.Date)
    )
