"""The totals row: SUBTOTAL formulas with cached values, or fixed values, which do not change when users filter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa

from quire.human_readable import format_count
from quire.output_values.unrepresentable_dates import UnrepresentableDate
from quire.xlsx.column_totals import EXACT, PartialTotal, combine
from quire.xlsx.excel_limits import MAX_CELL_NUMBER_LENGTH, MAX_DIGITS
from quire.xlsx.model import DetailTable, SheetColumn
from quire.xlsx.names import column_letters
from quire.xlsx.row_xml import RenderedColumn

FUNCTIONS = {"mean": 101, "count": 103, "max": 104, "min": 105, "sum": 109}  # these functions ignore hidden rows
MAX_FORMULA_LENGTH = 8_000  # Excel's limit is 8,192 characters
MAX_RANGES = 254  # Excel's limit for SUBTOTAL
TEXT = ' t="inlineStr"><is><t>'
NEGATIVE_TEXT = f"{TEXT}-"  # if a user edited the cell, the text would become a formula
_MEAN = Context(prec=60, traps=[])


class Totals:
    """A workbook's totals, over all sheets and files.

    Args:
        detail: the columns, each with the function of its total.
    """

    def __init__(self, detail: DetailTable) -> None:
        kinds = [detail.schema.field(column.name).type for column in detail.columns]
        self._totals = [
            _Total(column, kind, position) if column.total else None
            for position, (column, kind) in enumerate(zip(detail.columns, kinds, strict=True))
        ]
        self._sheets: list[tuple[str, int]] = []
        self._has_previous_files = False

    def add(self, columns: Sequence[RenderedColumn]) -> None:
        """Adds a batch's columns."""
        for total, column in zip(self._totals, columns, strict=True):
            if total and column.partial_total:
                total.add(column.partial_total, column.texts)

    def end_sheet(self, name: str, rows: int) -> None:
        """Records the end of a sheet."""
        self._sheets.append((name, rows))

    def end_file(self) -> None:
        """Records the end of a file; formulas in the next file cannot refer to its rows."""
        self._sheets.clear()
        self._has_previous_files = True

    def row(self, number: int, styles: Sequence[tuple[int, int]], label: int | None) -> str:
        """Returns the totals row as XML.

        Args:
            number: the row's number, counted from 1.
            styles: two style numbers per cell: the normal one, and one for text that starts like a formula.
            label: the number of the shared string that labels the row; None if the first cell has a total.
        """
        cells = []
        for position, (total, (style, quoted)) in enumerate(zip(self._totals, styles, strict=True)):
            content = "/>"
            if total:
                content = total.content(None if self._has_previous_files else self._sheets)
            elif position == 0 and label is not None:
                content = f' t="s"><v>{label}</v></c>'
            cell_style = quoted if content.startswith(NEGATIVE_TEXT) else style
            cells.append(f'<c r="{column_letters(position)}{number}" s="{cell_style}"{content}')
        return f'<row r="{number}">{"".join(cells)}</row>'

    def notes(self) -> Iterator[str]:
        """Yields sentences that explain unexpected totals to the reader."""
        totals = [total for total in self._totals if total]
        for total in totals:
            if total.has_no_total:
                yield f"{total.title}: there is no {total.function} because the values are not numbers, dates or times."
            elif total.has_unrepresentable_dates and total.function != "count":
                yield total.unrepresentable_note()
            elif total.texts and total.function != "count":
                yield f"{total.title}: {total.texts_note('number')} exactly; {total.value_note}."
            elif total.is_too_long:
                yield (
                    f"{total.title}: the {total.function} is written as text because Excel's numbers have at most "
                    f"{MAX_DIGITS} digits; it is exact but does not change when you filter."
                )
            elif total.is_fixed_value and not self._has_previous_files:
                yield f"{total.title}: the total does not change when you filter."
        if totals and self._has_previous_files:
            yield "The totals cover all rows in this and the preceding files and do not change when you filter."


class _Total:
    """One column's running total."""

    def __init__(self, column: SheetColumn, kind: pa.DataType, position: int) -> None:
        self.title, self.function, self.texts = column.title, column.total or "count", 0
        self.is_fixed_value = False  # whether a total of one or more values is not a formula
        self._letters = column_letters(position)
        self._partial = PartialTotal(0)
        self._is_boolean = pa.types.is_boolean(kind)
        self._is_temporal = pa.types.is_temporal(kind)
        self.has_no_total = pa.types.is_string(kind) and not column.numeric_text and self.function != "count"

    @property
    def has_unrepresentable_dates(self) -> bool:
        """Whether the column has dates or times that Excel cannot represent."""
        return self._is_temporal and self.texts > 0

    @property
    def value_note(self) -> str:
        """A clause describing a total that is written as a value instead of a formula."""
        exact = "" if self.function == "mean" else "is exact but "
        return f"the total {exact}does not change when you filter"

    @property
    def is_too_long(self) -> bool:
        """Whether the total is an exact number with more digits than Excel supports."""
        value = self._value()
        return isinstance(value, int | Decimal) and not _is_number(value)

    def add(self, partial: PartialTotal, texts: int) -> None:
        self._partial = combine(self._partial, partial, self.function)
        self.texts += texts

    def texts_note(self, noun: str) -> str:
        """Returns the beginning of a sentence about the values written as text."""
        is_one = self.texts == 1
        written = f"{format_count(self.texts, noun)} {'is' if is_one else 'are'} written as text"
        return f"{written} because Excel cannot represent {'it' if is_one else 'them'}"

    def unrepresentable_note(self) -> str:
        """Returns a sentence about dates and times that Excel cannot represent."""
        total = f"there is no {self.function}" if self.function in ("sum", "mean") else self.value_note
        return f"{self.title}: {self.texts_note('value')}; {total}."

    def content(self, sheets: Sequence[tuple[str, int]] | None) -> str:
        """Returns what follows the style in the total's cell XML.

        Args:
            sheets: each sheet's name and row count, up to and including the total's sheet; None if files precede this
                one.
        """
        value = self._value()
        if value is None:
            return "/>"
        text = _value_text(value)
        if sheets is not None and self._can_use_subtotal(value) and (formula := self._formula(sheets)):
            return f"><f>{formula}</f><v>{text}</v></c>"
        self.is_fixed_value = self._partial.count > 0
        if _is_number(value):
            return f"><v>{text}</v></c>"
        return f"{TEXT}{text}</t></is></c>"

    def _value(self) -> Any:
        """Returns the total, or None if there is no total."""
        if self.has_no_total:
            return None
        if self.function in ("count", "sum") and not self._partial.count:
            return 0
        if self.function == "count":
            return self._partial.count
        value, count = self._partial.value, self._partial.count
        if self.has_unrepresentable_dates and self.function in ("sum", "mean"):
            return None
        if self.function != "mean" or value is None:
            return value
        if not isinstance(value, Decimal):
            return value / count
        mean = _MEAN.divide(value, Decimal(count))
        return float(mean) if _fits_float(mean) else mean

    def _can_use_subtotal(self, value: Any) -> bool:
        """Returns whether Excel's SUBTOTAL would return this value.

        All SUBTOTAL functions except COUNTA ignore text, and any digits after the 15th.
        """
        if not self._partial.count:
            return False
        return self.function == "count" or not (self.texts or self._is_boolean or not _is_number(value))

    def _formula(self, sheets: Sequence[tuple[str, int]]) -> str:
        """Returns the column's SUBTOTAL over all sheets, or an empty string if it would exceed Excel's limits."""
        ranges = []
        for number, (name, rows) in enumerate(sheets, 1):
            quoted = name.replace("'", "''")
            prefix = f"'{quoted}'!" if number < len(sheets) else ""
            if rows:
                ranges.append(f"{prefix}{self._letters}2:{self._letters}{rows + 1}")
        formula = f"SUBTOTAL({FUNCTIONS[self.function]},{','.join(ranges)})"
        return escape(formula) if len(ranges) <= MAX_RANGES and len(formula) <= MAX_FORMULA_LENGTH else ""


def _value_text(value: Any) -> str:
    if isinstance(value, UnrepresentableDate):
        return value.text
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return repr(value)


def _is_finite(value: Any) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)


def _is_number(value: Any) -> bool:
    """Returns whether Excel can represent a total as a number."""
    if isinstance(value, UnrepresentableDate):
        return False
    if isinstance(value, float) or not _is_finite(value):
        return _is_finite(value)
    number = Decimal(value).normalize(EXACT)
    return len(number.as_tuple().digits) <= MAX_DIGITS and _fits_float(number)


def _fits_float(value: Decimal) -> bool:
    return abs(value.adjusted()) < MAX_CELL_NUMBER_LENGTH
