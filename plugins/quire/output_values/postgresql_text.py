"""Converts columns to text as PostgreSQL does."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import pyarrow as pa

from quire.output_values.date_columns import wall_clock
from quire.output_values.polars_series import map_distinct, to_series
from quire.output_values.unrepresentable_dates import (
    DAY_MICROSECONDS,
    SECOND,
    YEAR_1,
    YEAR_10000,
    date_text,
    offset_text,
    timestamp_text,
)

# PostgreSQL prints an exponent for numbers below 1e-4, and for numbers with more digits than their type guarantees.
EXPONENT_BELOW, EXPONENT_FROM, FLOAT4_EXPONENT_FROM = 1e-4, 1e15, 1e6


def column_text(column: pa.Array, *, timezone: str) -> pl.Series:
    """Returns a column's values as PostgreSQL prints them in the session time zone ``timezone``; NULL remains NULL."""
    if pa.types.is_time64(column.type):
        return _time_texts(to_series(column.view(pa.int64())))  # Polars does not support 24:00
    series = to_series(column)
    kind = series.dtype
    if kind == pl.Date:
        return _date_texts(series)
    if isinstance(kind, pl.Datetime):
        return _timestamp_texts(series, timezone if kind.time_zone else None)
    if kind.is_float():
        return _float_texts(series)
    return series.cast(pl.String)


def _date_texts(dates: pl.Series) -> pl.Series:
    days = dates.to_physical()
    is_unusual = ~days.is_between(YEAR_1 // DAY_MICROSECONDS, YEAR_10000 // DAY_MICROSECONDS, closed="left")
    if not is_unusual.any():
        return dates.dt.strftime("%Y-%m-%d")
    texts = dates.set(is_unusual, None).dt.strftime("%Y-%m-%d")
    return map_distinct(days, is_unusual, date_text, default=texts)


def _timestamp_texts(times: pl.Series, timezone: str | None) -> pl.Series:
    microseconds = times.to_physical()
    local = wall_clock(times, timezone) if timezone else microseconds
    is_unusual = ~local.is_between(YEAR_1, YEAR_10000, closed="left")
    usual = local.set(is_unusual, None) if is_unusual.any() else local
    offsets = _offset_texts(local - microseconds) if timezone else pl.Series([""])
    texts = usual.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%d %H:%M:%S") + _fraction(usual) + offsets
    if not is_unusual.any():
        return texts
    return map_distinct(microseconds, is_unusual, lambda time: timestamp_text(time, timezone), default=texts)


def _fraction(microseconds: pl.Series) -> pl.Series:
    """Returns each time's fractional seconds with the decimal point, or an empty string if they are zero."""
    rest = microseconds % SECOND
    if not (rest > 0).any():
        return pl.Series([""])
    digits = "." + (rest + SECOND).cast(pl.String).str.slice(1).str.strip_chars_end("0")
    return pl.select(pl.when(rest == 0).then(pl.lit("")).otherwise(digits)).to_series()


def _offset_texts(offsets: pl.Series) -> pl.Series:
    distinct = offsets.drop_nulls().unique()
    texts = pl.Series([offset_text(offset) for offset in distinct], dtype=pl.String)
    return offsets.replace_strict(distinct, texts, default=None, return_dtype=pl.String)


def _time_texts(microseconds: pl.Series) -> pl.Series:
    seconds = microseconds // SECOND
    parts = [seconds // 3600, seconds // 60 % 60, seconds % 60]
    hours, minutes, rest = (part.cast(pl.String).str.zfill(2) for part in parts)
    return hours + ":" + minutes + ":" + rest + _fraction(microseconds)


def _float_texts(numbers: pl.Series) -> pl.Series:
    limit = FLOAT4_EXPONENT_FROM if numbers.dtype == pl.Float32 else EXPONENT_FROM
    size = numbers.abs()
    texts = numbers.cast(pl.String).str.strip_suffix(".0")
    is_unusual = ~(size.is_between(EXPONENT_BELOW, limit, closed="left") | (size == 0)) & numbers.is_not_null()
    return map_distinct(texts, is_unusual, _with_exponent, default=texts) if is_unusual.any() else texts


def _with_exponent(text: str) -> str:
    """Returns a number's shortest digits with an exponent, in PostgreSQL's notation.

    If the shortest digits are halfway between two numbers, PostgreSQL itself prints more digits. Both forms parse to
    the same number.
    """
    number = Decimal(text)
    if not number.is_finite():
        return "NaN" if number.is_nan() else f"{number:f}"
    sign, digits, exponent = number.normalize().as_tuple()
    first, *rest = map(str, digits)
    mantissa = f"{first}.{''.join(rest)}" if rest else first
    return f"{'-' if sign else ''}{mantissa}e{int(exponent) + len(rest):+03d}"
