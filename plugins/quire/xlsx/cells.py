"""Renders columns as cells; a cell contains a number if Excel can represent the value exactly, otherwise text.

Each function takes one column from a batch, and returns the XML that follows the row number in each cell. A cell's full
XML is ``<c r="B``, the row number, ``before``, the value, and ``after``. If a column mixes numbers and text, the values
include ``before`` and ``after``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl

from quire.output_values.date_columns import wall_clock
from quire.output_values.polars_series import map_distinct
from quire.output_values.unrepresentable_dates import (
    DAY_MICROSECONDS,
    END_OF_DAY,
    UnrepresentableDate,
    date_text,
    timestamp_text,
)
from quire.xlsx.excel_limits import FIRST_DAY, LAST_DAY, LAST_TIME, MAX_CELL_NUMBER_LENGTH, MAX_DIGITS
from quire.xlsx.xml_text import cut_texts, longest

EPOCH_SERIAL = 25_569  # 1970-01-01 in Excel's days since 1899-12-30
FIRST_SERIAL, LAST_SERIAL = FIRST_DAY + EPOCH_SERIAL, LAST_DAY + EPOCH_SERIAL
DAY_MILLISECONDS = 86_400_000
_WHOLE_LIMIT = 10**MAX_DIGITS


@dataclass(frozen=True, slots=True)
class Styles:
    """The style numbers for a column's values, for values written as text, and for text that starts like a formula."""

    value: int
    text: int
    quoted: int


@dataclass(frozen=True, slots=True)
class Cells:
    """The XML for a column's cells in one batch.

    Args:
        values: a string for each row; NULL if the row has no cell.
        before: the XML between the row number and the value; a series if the XML differs between rows.
        after: the XML after the value.
        numbers: the values for totals, as strings if no numeric type can hold them exactly; None for a text column.
        texts: how many numbers, dates and times were written as text.
        cut: how many strings were truncated to a cell's maximum length.
        unrepresentable: the earliest and latest of the dates and times that were written as text; ``numbers`` omits
            them.
    """

    values: pl.Series
    before: str | pl.Series = ""
    after: str = ""
    numbers: pl.Series | None = None
    texts: int = 0
    cut: int = 0
    unrepresentable: tuple[UnrepresentableDate, ...] = ()


def boolean_cells(column: pl.Series, styles: Styles) -> Cells:
    """Renders booleans."""
    bits = column.cast(pl.Int8)
    return Cells(bits.cast(pl.String), f'" s="{styles.value}" t="b"><v>', "</v></c>", bits)


def integer_cells(column: pl.Series, styles: Styles) -> Cells:
    """Renders integers of at most 15 digits as numbers, and longer integers as text."""
    all_fit = column.dtype != pl.Int64 or _within(column, 1 - _WHOLE_LIMIT, _WHOLE_LIMIT - 1)
    is_number = None if all_fit else (column > -_WHOLE_LIMIT) & (column < _WHOLE_LIMIT)
    return _numbers(column.cast(pl.String), is_number, styles, numbers=column)


def decimal_cells(column: pl.Series, styles: Styles) -> Cells:
    """Renders decimals of at most 15 significant digits as numbers, and longer decimals as text."""
    texts = column.cast(pl.String)
    return _numbers(texts, _has_exact_digits(texts), styles, numbers=column)


def numeric_text_cells(column: pl.Series, styles: Styles) -> Cells:
    """Renders PostgreSQL ``numeric`` values, given as text, like decimals; NaN and infinity remain text."""
    is_number = _has_exact_digits(column)
    is_finite = column.str.contains(r"^-?[0-9.]+$")
    if not is_finite.all():
        is_number = is_finite if is_number is None else is_number & is_finite
    texts, cut = cut_texts(column)
    return _numbers(texts, is_number, styles, numbers=column, cut=cut)


def float_cells(column: pl.Series, styles: Styles) -> Cells:
    """Renders floats in their shortest exact form, and NaN and infinity as PostgreSQL prints them."""
    texts = column.cast(pl.String)
    is_finite = column.is_finite()
    if is_finite.all():
        return _numbers(texts, None, styles, numbers=column)
    texts = texts.replace(["inf", "-inf"], ["Infinity", "-Infinity"])
    return _numbers(texts, is_finite, styles, numbers=column)


def date_cells(column: pl.Series, styles: Styles) -> Cells:
    """Renders dates as Excel's serial numbers, and dates outside Excel's range as text."""
    days = column.to_physical()
    if _within(days, FIRST_DAY, LAST_DAY):
        serials = days + EPOCH_SERIAL
        return _numbers(serials.cast(pl.String), None, styles, numbers=serials)
    days = days.cast(pl.Int64)
    return _serials_or_texts(days + EPOCH_SERIAL, days, styles, to_text=date_text)


def timestamp_cells(column: pl.Series, styles: Styles, *, timezone: str) -> Cells:
    """Renders timestamps, rounded down to the millisecond; converts timestamps with time zone to ``timezone``."""
    aware = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None
    microseconds = column.to_physical()
    local = wall_clock(column, timezone) if aware else microseconds
    serials = local // 1000 / DAY_MILLISECONDS + EPOCH_SERIAL
    if _within(serials, FIRST_SERIAL, LAST_SERIAL + 0.999_999_99):
        return _numbers(serials.cast(pl.String), None, styles, numbers=serials)
    zone = timezone if aware else None
    return _serials_or_texts(serials, microseconds, styles, to_text=lambda time: timestamp_text(time, zone))


def time_cells(column: pl.Series, styles: Styles) -> Cells:
    """Renders times of day as fractions of a day, and 24:00 as text.

    Args:
        column: integers (microseconds since midnight), because Polars does not support 24:00.
        styles: the column's style numbers.
    """
    fractions = column.clip(None, LAST_TIME) / DAY_MICROSECONDS
    if _within(column, 0, DAY_MICROSECONDS - 1):
        return _numbers(fractions.cast(pl.String), None, styles, numbers=fractions)
    is_number = column < DAY_MICROSECONDS
    texts = fractions.cast(pl.String).set(~is_number.fill_null(value=True), END_OF_DAY)
    cells = _numbers(texts, is_number, styles, numbers=fractions.set(~is_number, None))
    return replace(cells, unrepresentable=(UnrepresentableDate(DAY_MICROSECONDS, END_OF_DAY),))


def _within(values: pl.Series, lowest: float, highest: float) -> bool:
    """Returns whether all values are between two inclusive bounds."""
    minimum, maximum = values.min(), values.max()
    if not isinstance(minimum, int | float) or not isinstance(maximum, int | float):
        return True  # no values
    return lowest <= minimum and maximum <= highest


def _serials_or_texts(
    serials: pl.Series, physical: pl.Series, styles: Styles, *, to_text: Callable[[int], str]
) -> Cells:
    """Renders dates in Excel's range as serial numbers, and other dates as text."""
    is_number = serials.is_between(FIRST_SERIAL, LAST_SERIAL + 1, closed="left").fill_null(value=False)
    is_text = ~is_number & physical.is_not_null()
    values = map_distinct(physical, is_text, to_text, default=serials.cast(pl.String))
    cells = _numbers(values, ~is_text, styles, numbers=serials.set(~is_number, None))
    times = physical.filter(is_text).sort()
    bounds = dict.fromkeys([*times.head(1), *times.tail(1)])
    return replace(cells, unrepresentable=tuple(UnrepresentableDate(time, to_text(time)) for time in bounds))


def _has_exact_digits(texts: pl.Series) -> pl.Series | None:
    """Returns whether each number has at most 15 significant digits, or None if they all do."""
    max_length = longest(texts)
    if max_length <= MAX_DIGITS:
        return None
    digits = texts.str.replace_all(r"[-.]", "").str.strip_chars_start("0")
    is_number = digits.str.strip_chars_end("0").str.len_bytes() <= MAX_DIGITS
    return (
        is_number
        if max_length <= MAX_CELL_NUMBER_LENGTH
        else is_number & (texts.str.len_bytes() <= MAX_CELL_NUMBER_LENGTH)
    )


def _numbers(
    texts: pl.Series, is_number: pl.Series | None, styles: Styles, *, numbers: pl.Series, cut: int = 0
) -> Cells:
    before, after = f'" s="{styles.value}"><v>', "</v></c>"
    if is_number is None or is_number.all():
        return Cells(texts, before, after, numbers)
    plain, quoted = (f'" s="{style}" t="inlineStr"><is><t>' for style in (styles.text, styles.quoted))
    text_after = "</t></is></c>"
    values = pl.select(
        pl.when(is_number)
        .then(before + texts + after)
        .when(
            texts.str.starts_with("-")
        )  # without the quoted style, editing the cell would turn the text into a formula
        .then(quoted + texts + text_after)
        .otherwise(plain + texts + text_after)
    ).to_series()
    return Cells(values, numbers=numbers, texts=int((~is_number).sum()), cut=cut)
