"""One column's values as cells: numbers where Excel keeps them exactly, text where it would not.

Every function takes a column of a batch and returns what stands in the cells' XML behind the row number:
``<c r="B`` row ``before`` value ``after``. Odd values make ``before`` and ``after`` part of the value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from quire.xlsx.odd_dates import DAY_MICROSECONDS, date_text, local_microseconds, timestamp_text
from quire.xlsx.text import longest

EPOCH_SERIAL = 25_569  # 1970-01-01 in Excel's days since 1899-12-30
FIRST_SERIAL, LAST_SERIAL = 61, 2_958_465  # 1900-03-01, before which Excel counts a day that was not; 9999-12-31
MOST_DIGITS = 15
_WHOLE_LIMIT = 10**MOST_DIGITS
DAY_MILLISECONDS = 86_400_000
LAST_RULES = 4_102_444_800_000_000  # 2100-01-01: from then on, Polars knows no summer time (seen in 2.1.0)

Numbers = pl.Series | list[Decimal | None]


@dataclass(frozen=True, slots=True)
class Styles:
    """A column's style numbers: of its values, of texts among them, of texts that begin like a formula."""

    value: int
    text: int
    quoted: int


@dataclass(frozen=True, slots=True)
class Cells:
    """A column of a batch as XML.

    Args:
        values: a string for each row, NULL where there is no cell.
        before: what stands between row number and value.
        after: what follows the value.
        numbers: the values as totals take them; None where they are texts.
        texts: how many numbers had to be written as text.
        cut: how many texts were too long for a cell.
    """

    values: pl.Series
    before: str = ""
    after: str = ""
    numbers: Numbers | None = None
    texts: int = 0
    cut: int = 0


def boolean_cells(column: pl.Series, styles: Styles) -> Cells:
    """Returns booleans."""
    return Cells(
        column.cast(pl.Int8).cast(pl.String), f'" s="{styles.value}" t="b"><v>', "</v></c>", column.cast(pl.Int64)
    )


def integer_cells(column: pl.Series, styles: Styles) -> Cells:
    """Returns integers of at most 15 digits as numbers, longer ones as text."""
    lowest, highest = column.min(), column.max()
    fits = lowest is None or (int(str(lowest)) > -_WHOLE_LIMIT and int(str(highest)) < _WHOLE_LIMIT)
    keeps = None if fits else (column > -_WHOLE_LIMIT) & (column < _WHOLE_LIMIT)
    return _numbers(column.cast(pl.String), keeps, styles, column)


def decimal_cells(column: pl.Series, styles: Styles) -> Cells:
    """Returns decimals as numbers where 15 significant digits hold them."""
    shown = column.cast(pl.String)
    return _numbers(shown, _keeps_digits(shown), styles, column)


def numeric_text_cells(column: pl.Series, styles: Styles) -> Cells:
    """Returns numbers that PostgreSQL printed, NaN and infinities among them, like decimals."""
    keeps = _keeps_digits(column)
    numbers = column.str.contains(r"^-?[0-9.]+$")
    if not numbers.all():
        keeps = numbers if keeps is None else keeps & numbers
    exact: Numbers = column.cast(pl.Decimal(38, 18), strict=False)
    if isinstance(exact, pl.Series) and exact.null_count() > column.null_count():  # NaN, or more digits than it has
        exact = [None if text is None else Decimal(text) for text in column]
    return _numbers(column, keeps, styles, exact)


def float_cells(column: pl.Series, styles: Styles) -> Cells:
    """Returns floats in the shortest form that reads back the same; NaN and infinities as PostgreSQL prints them."""
    shown = column.cast(pl.String)
    finite = column.is_finite()
    if finite.all():
        return _numbers(shown, None, styles, column)
    shown = shown.replace(["inf", "-inf"], ["Infinity", "-Infinity"])
    return _numbers(shown, finite, styles, column)


def date_cells(column: pl.Series, styles: Styles) -> Cells:
    """Returns dates as Excel's days where it has them."""
    days = column.to_physical().cast(pl.Int64)
    serials = days + EPOCH_SERIAL
    return _serials(serials, serials.cast(pl.String), days, styles, date_text)


def timestamp_cells(column: pl.Series, styles: Styles, *, timezone: str) -> Cells:
    """Returns timestamps to the millisecond; instants in ``timezone``."""
    aware = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None
    microseconds = column.to_physical()
    # two days more than Excel has on either side, so that every zone's offset can be added without overflow
    lowest = (FIRST_SERIAL - EPOCH_SERIAL - 2) * DAY_MICROSECONDS
    highest = (LAST_SERIAL - EPOCH_SERIAL + 2) * DAY_MICROSECONDS
    near = microseconds.is_between(lowest, highest)
    if not near.all():
        column = column.set(~near.fill_null(value=False), None)
    local = _local(column, timezone) if aware else column.to_physical()
    milliseconds = (local + 500) // 1000
    serials = milliseconds / DAY_MILLISECONDS + EPOCH_SERIAL
    zone = timezone if aware else None
    return _serials(serials, serials.cast(pl.String), microseconds, styles, lambda us: timestamp_text(us, zone))


def _local(column: pl.Series, timezone: str) -> pl.Series:
    """Returns instants as microseconds of a zone's wall clock."""
    local = column.dt.convert_time_zone(timezone).dt.replace_time_zone(None).to_physical()
    instants = column.to_physical()
    far = instants >= LAST_RULES
    if not far.any():
        return local
    distinct = instants.filter(far).unique()
    moved = pl.Series([local_microseconds(instant, timezone) for instant in distinct], dtype=pl.Int64)
    return instants.replace_strict(distinct, moved, default=local)


def time_cells(column: pl.Series, styles: Styles) -> Cells:
    """Returns times of day as fractions of one."""
    fractions = column.to_physical() / (1000 * DAY_MICROSECONDS)
    return _numbers(fractions.cast(pl.String), None, styles, fractions)


def _serials(
    serials: pl.Series, shown: pl.Series, physical: pl.Series, styles: Styles, told: Callable[[int], str]
) -> Cells:
    keeps = serials.is_between(FIRST_SERIAL, LAST_SERIAL + 1, closed="left")
    odd = physical.filter(~keeps.fill_null(value=False) & physical.is_not_null())
    if odd.is_empty():
        return _numbers(shown, None, styles, serials)
    distinct = odd.unique()
    texts = pl.Series([told(value) for value in distinct], dtype=pl.String)
    shown = physical.replace_strict(distinct, texts, default=shown)
    keeps = keeps.fill_null(value=False)
    return _numbers(shown, keeps, styles, serials.set(~keeps, None))


def _keeps_digits(shown: pl.Series) -> pl.Series | None:
    """Returns where 15 significant digits hold a number, None where all are as short."""
    if longest(shown) <= MOST_DIGITS:
        return None
    digits = shown.str.replace_all(r"[-.]", "").str.strip_chars_start("0")
    return digits.str.strip_chars_end("0").str.len_bytes() <= MOST_DIGITS


def _numbers(shown: pl.Series, keeps: pl.Series | None, styles: Styles, numbers: Numbers) -> Cells:
    before, after = f'" s="{styles.value}"><v>', "</v></c>"
    if keeps is None or keeps.all():
        return Cells(shown, before, after, numbers)
    text_before, text_after = f'" s="{styles.text}" t="inlineStr"><is><t>', "</t></is></c>"
    values = pl.select(
        pl.when(keeps).then(before + shown + after).otherwise(text_before + shown + text_after)
    ).to_series()
    return Cells(values, numbers=numbers, texts=int((~keeps).sum()))
