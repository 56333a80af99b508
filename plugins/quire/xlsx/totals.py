"""The totals of a sheet's rows: a SUBTOTAL that follows the filter, its value cached; or the exact value itself."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

import polars as pl

from quire.xlsx.cells import MOST_DIGITS, Cells, Numbers

FUNCTIONS = {"mean": 101, "count": 103, "max": 104, "min": 105, "sum": 109}  # those that pass over hidden rows
PRECISION = 60


class Total:
    """One column's running total. Sums of integers and decimals are exact.

    Args:
        function: sum, mean, min, max or count.
        follows: whether SUBTOTAL sees the column's values as numbers.
    """

    def __init__(self, function: str, *, follows: bool) -> None:
        self._function, self._follows = function, follows
        self.restart()

    def restart(self) -> None:
        """Begins a new sheet."""
        self._sum: Any = 0
        self._count = self.texts = 0
        self._least: Any = None
        self._most: Any = None

    def add(self, cells: Cells) -> None:
        """Takes in a batch."""
        self.texts += cells.texts
        if self._function == "count" or cells.numbers is None:
            self._count += len(cells.values) - cells.values.null_count()
            return
        numbers = cells.numbers
        count = len(numbers) - (numbers.count(None) if isinstance(numbers, list) else numbers.null_count())
        self._count += count
        if self._function in ("sum", "mean"):
            with localcontext(prec=PRECISION):
                self._sum = self._sum + _sum(numbers)
        elif count:
            least, most = _extremes(numbers)
            self._least = least if self._least is None else min(self._least, least)
            self._most = most if self._most is None else max(self._most, most)

    def value(self) -> Any:
        """Returns the total of what was taken in; None where there is no value."""
        if self._function == "count":
            return self._count
        if not self._count:
            return None
        if self._function == "mean":
            with localcontext(prec=PRECISION):
                return float(self._sum / self._count)
        return {"sum": self._sum, "min": self._least, "max": self._most}[self._function]

    def xml(self, address: str, cells: str, style: int) -> str:
        """Returns the total's cell.

        Args:
            address: of the cell.
            cells: what it is the total of.
            style: its style number.
        """
        value = self.value()
        follows = self._follows and (not self.texts or self._function == "count")
        if value is None:
            formula = f"<f>SUBTOTAL({FUNCTIONS[self._function]},{cells})</f>" if follows else ""
            return f'<c r="{address}" s="{style}">{formula}</c>'
        shown = (
            f"{value:f}" if isinstance(value, Decimal) else repr(value).replace("nan", "NaN").replace("inf", "Infinity")
        )
        if follows:
            return (
                f'<c r="{address}" s="{style}"><f>SUBTOTAL({FUNCTIONS[self._function]},{cells})</f><v>{shown}</v></c>'
            )
        if _is_exact(value):
            return f'<c r="{address}" s="{style}"><v>{shown}</v></c>'
        return f'<c r="{address}" s="{style}" t="inlineStr"><is><t>{shown}</t></is></c>'


def _sum(numbers: Numbers) -> Any:
    if isinstance(numbers, list):
        return sum((number for number in numbers if number is not None), Decimal(0))
    if numbers.dtype.is_integer():
        return int(numbers.cast(pl.Int128).sum())
    if isinstance(numbers.dtype, pl.Decimal):
        return numbers.cast(pl.Decimal(38, numbers.dtype.scale)).sum() or Decimal(0)
    return math.fsum(numbers.drop_nulls().to_list())


def _extremes(numbers: Numbers) -> tuple[Any, Any]:
    if isinstance(numbers, list):
        ordered = sorted((number for number in numbers if number is not None), key=lambda number: number.is_nan())
        finite = [number for number in ordered if not number.is_nan()]
        return (min(finite), max(finite)) if finite else (ordered[0], ordered[0])
    return numbers.min(), numbers.max()


def _is_exact(value: Any) -> bool:
    """Whether Excel keeps a total as a number."""
    if isinstance(value, float):
        return math.isfinite(value)
    number = Decimal(value)
    return number.is_finite() and len(number.normalize().as_tuple().digits) <= MOST_DIGITS
