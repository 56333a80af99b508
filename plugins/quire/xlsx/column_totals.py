"""Calculates a column's partial total for each batch; totals of integers and decimals of any length are exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import reduce
from typing import Any

import polars as pl

from quire.output_values.unrepresentable_dates import UnrepresentableDate
from quire.xlsx.cells import Cells
from quire.xlsx.xml_text import longest

# PostgreSQL's numeric has up to 131,072 digits before the decimal point and 16,383 after it. Without traps, the sum of
# infinity and -infinity is NaN, as in PostgreSQL.
EXACT = Context(prec=160_000, rounding=ROUND_HALF_EVEN, traps=[])
MAX_SUMMED_DIGITS = 34  # the sum over a batch of such numbers fits in the 38 digits that Polars supports
MAX_SUMMED_LENGTH = 17  # the corresponding limit for numbers stored as text, in characters


@dataclass(frozen=True, slots=True)
class PartialTotal:
    """How many values a batch has, and their sum, minimum or maximum.

    ``value`` is None if there are no values. A sum is NaN if any value is a date outside Excel's range, or 24:00.
    """

    count: int
    value: Any = None


def partial_total(cells: Cells, function: str) -> PartialTotal:
    """Returns a batch's partial total.

    Args:
        cells: the column's cells.
        function: sum, mean, min, max or count.
    """
    count = len(cells.values) - cells.values.null_count()
    if function == "count" or cells.numbers is None or not count:
        return PartialTotal(count)
    numbers = cells.numbers
    if numbers.dtype == pl.Float32:  # the total must match the cells, which contain each number's shortest form
        numbers = numbers.cast(pl.String).cast(pl.Float64)
    if function in ("sum", "mean"):
        return PartialTotal(count, math.nan if cells.unrepresentable else _sum(numbers))
    extreme = _column_extreme(numbers, function)
    if cells.unrepresentable:
        extreme = _extreme([*cells.unrepresentable, *([] if extreme is None else [extreme])], function)
    return PartialTotal(count, extreme)


def combine(first: PartialTotal, second: PartialTotal, function: str) -> PartialTotal:
    """Combines two batches' partial totals."""
    values = [value for value in (first.value, second.value) if value is not None]
    count = first.count + second.count
    if len(values) < 2:
        return PartialTotal(count, *values)
    if function in ("sum", "mean"):
        exact = isinstance(values[0], Decimal)
        return PartialTotal(count, EXACT.add(*values) if exact else values[0] + values[1])
    return PartialTotal(count, _extreme([value for value in values if not _is_nan(value)] or values[:1], function))


def _sum(numbers: pl.Series) -> Any:
    if numbers.dtype.is_integer():
        return int(numbers.cast(pl.Int128).sum())
    if numbers.dtype.is_float():
        return _float_sum(numbers.drop_nulls())
    if isinstance(numbers.dtype, pl.Decimal):
        if numbers.dtype.precision <= MAX_SUMMED_DIGITS:
            return numbers.cast(pl.Decimal(38, numbers.dtype.scale)).sum()
    elif longest(numbers) <= MAX_SUMMED_LENGTH:
        short = numbers.cast(pl.Decimal(38, MAX_SUMMED_LENGTH - 1), strict=False)
        if short.null_count() == numbers.null_count():
            return short.sum()
    return reduce(EXACT.add, _decimals(numbers), Decimal(0))


def _float_sum(numbers: pl.Series) -> float:
    if numbers.is_finite().all():
        try:
            return math.fsum(numbers)
        except OverflowError:
            pass
    return float(numbers.sum())


def _column_extreme(numbers: pl.Series, function: str) -> Any:
    """Returns the minimum or maximum; returns NaN only if there are no values other than NaN."""
    if numbers.dtype == pl.String:
        values = list(_decimals(numbers))
        return _extreme([value for value in values if not value.is_nan()] or values[:1], function)
    if numbers.dtype.is_float():
        finite = numbers.drop_nulls().drop_nans()
        if finite.is_empty():
            return None if numbers.null_count() == len(numbers) else math.nan
        numbers = finite
    return numbers.min() if function == "min" else numbers.max()


def _decimals(numbers: pl.Series) -> Iterable[Decimal]:
    return (Decimal(number) for number in numbers.drop_nulls())


def _extreme(values: list[Any], function: str) -> Any:
    return min(values, key=_sort_key) if function == "min" else max(values, key=_sort_key)


def _sort_key(value: Any) -> tuple[int, Any]:
    """Returns a sort key that puts an unrepresentable date before or after all representable dates."""
    return (1 if value.is_later else -1, value.physical) if isinstance(value, UnrepresentableDate) else (0, value)


def _is_nan(value: Any) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value)
