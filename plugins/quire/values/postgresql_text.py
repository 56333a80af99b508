"""Columns as texts, as PostgreSQL prints their values.

What most values have in common is done for the whole column; what is odd, for each distinct value.
"""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pyarrow as pa

from quire.values.polars_series import to_series
from quire.values.unrepresentable_dates import date_text, timestamp_text
from quire.values.wall_clock import DAY_MICROSECONDS, INFINITE, YEAR_1, YEAR_10000, wall_clock

SECOND = 1_000_000
BC = " BC"
# where PostgreSQL begins to write exponents: at the digits that are sure to survive
PLAIN_FROM, PLAIN_BEFORE, PLAIN_BEFORE_OF_FLOAT4 = 1e-4, 1e15, 1e6


def text_of(column: pa.Array, *, timezone: str) -> pl.Series:
    """Returns a column's values as PostgreSQL casts them to text in a session of ``timezone``; NULL stays NULL."""
    if pa.types.is_time64(column.type):
        return _clock_text(to_series(column.view(pa.int64())))  # Polars has no 24:00
    series = to_series(column)
    kind = series.dtype
    if kind == pl.Date:
        return _date_text(series)
    if isinstance(kind, pl.Datetime):
        return _timestamp_text(series, timezone if kind.time_zone else None)
    if kind.is_float():
        return _float_text(series)
    return series.cast(pl.String)


def _date_text(dates: pl.Series) -> pl.Series:
    days = dates.to_physical()
    odd = ~days.is_between(YEAR_1 // DAY_MICROSECONDS, YEAR_10000 // DAY_MICROSECONDS, closed="left")
    if not odd.any():
        return dates.dt.strftime("%Y-%m-%d")
    distinct = days.filter(odd).unique()
    told = pl.Series([date_text(day) for day in distinct], dtype=pl.String)
    return days.replace_strict(distinct, told, default=dates.set(odd, None).dt.strftime("%Y-%m-%d"))


def _timestamp_text(times: pl.Series, timezone: str | None) -> pl.Series:
    instants = times.to_physical()
    local = wall_clock(times, timezone) if timezone else instants
    odd = ~local.is_between(YEAR_1, YEAR_10000, closed="left")
    usual = local.set(odd, None) if odd.any() else local
    shown = usual.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%d %H:%M:%S") + _fraction(usual)
    offset = _offset_text(local - instants) if timezone else pl.Series([""])
    if not odd.any():
        return shown + offset
    distinct = local.filter(odd).unique()
    told = [timestamp_text(value, None) for value in distinct]
    bodies = pl.Series([text.removesuffix(BC) for text in told], dtype=pl.String)
    eras = pl.Series([BC if text.endswith(BC) else "" for text in told], dtype=pl.String)
    shown = local.replace_strict(distinct, bodies, default=shown)
    era = local.replace_strict(distinct, eras, default="")
    finite = ~local.is_in(INFINITE)
    return pl.select(pl.when(finite).then(shown + offset + era).otherwise(shown)).to_series()


def _fraction(microseconds: pl.Series) -> pl.Series:
    """Returns the digits behind a second's point, with the point; nothing where there are none."""
    rest = microseconds % SECOND
    if not (rest > 0).any():
        return pl.Series([""])
    digits = "." + (rest + SECOND).cast(pl.String).str.slice(1).str.strip_chars_end("0")
    return pl.select(pl.when(rest == 0).then(pl.lit("")).otherwise(digits)).to_series()


def _offset_text(offsets: pl.Series) -> pl.Series:
    distinct = offsets.drop_nulls().unique()
    told = pl.Series([_one_offset(offset // SECOND) for offset in distinct], dtype=pl.String)
    return offsets.replace_strict(distinct, told, default=None, return_dtype=pl.String)


def _one_offset(seconds: int) -> str:
    """Returns an offset from UTC: hours, and minutes and seconds where it has them, as old mean times do."""
    size = abs(seconds)
    parts = [size // 3600, size // 60 % 60, size % 60]
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return ("-" if seconds < 0 else "+") + ":".join(f"{part:02d}" for part in parts)


def _clock_text(microseconds: pl.Series) -> pl.Series:
    seconds = microseconds // SECOND
    parts = [seconds // 3600, seconds // 60 % 60, seconds % 60]
    hours, minutes, rest = (part.cast(pl.String).str.zfill(2) for part in parts)
    return hours + ":" + minutes + ":" + rest + _fraction(microseconds)


def _float_text(numbers: pl.Series) -> pl.Series:
    most = PLAIN_BEFORE_OF_FLOAT4 if numbers.dtype == pl.Float32 else PLAIN_BEFORE
    size = numbers.abs()
    shown = numbers.cast(pl.String).str.strip_suffix(".0")
    odd = ~(size.is_between(PLAIN_FROM, most, closed="left") | (size == 0))
    if not odd.any():
        return shown
    distinct = shown.filter(odd & numbers.is_not_null()).unique()
    told = pl.Series([_odd_float(text) for text in distinct], dtype=pl.String)
    return shown.replace_strict(distinct, told, default=shown)


def _odd_float(text: str) -> str:
    """Returns a number's shortest digits, given in any notation, as PostgreSQL notes it.

    Where the shortest digits lie exactly between two numbers, PostgreSQL itself writes more. Both read the same.
    """
    number = Decimal(text)
    if not number.is_finite():
        return "NaN" if number.is_nan() else f"{number:f}"
    sign, digits, exponent = number.normalize().as_tuple()
    first, *rest = map(str, digits)
    mantissa = f"{first}.{''.join(rest)}" if rest else first
    return f"{'-' if sign else ''}{mantissa}e{int(exponent) + len(rest):+03d}"
