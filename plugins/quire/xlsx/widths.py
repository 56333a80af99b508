"""Column widths, derived from the header and a sample of the values."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from quire.values.polars_series import to_series
from quire.xlsx.model import SheetColumn

NARROWEST, WIDEST = 8.0, 48.0
HEADER_WIDEST = 16  # longer titles wrap
FILTER_BUTTON = 3.0  # in characters
FIXED = {"date": 11.5, "timestamp": 19.5, "time": 10.0, "bool": 8.0}
HIGHEST = 409.0  # of Excel's rows, in points
MEASURED = 255  # Excel's widest column
TOTAL_WORD = 5.0  # "mean " before a total
MEAN_DECIMAL = 2.0  # which whole numbers do not have


def display_width(text: str) -> float:
    """Returns the width of a text's first line in Latin letters; East Asian letters count twice.

    Only the first ``MEASURED`` letters are measured, because no column is wider.
    """
    first = text[:MEASURED].split("\n", 1)[0]
    if first.isascii():
        return float(len(first))
    return sum(2.0 if unicodedata.east_asian_width(letter) in "WF" else 1.0 for letter in first)


def header_width(title: str) -> float:
    """Returns the width of a title, which wraps between words if it is long."""
    longest_word = max((display_width(word) for word in title.split()), default=0.0)
    return max(longest_word, min(display_width(title), HEADER_WIDEST))


def header_lines(title: str, width: float) -> int:
    """Returns how many lines a title takes in a column."""
    lines, room = 1, width - FILTER_BUTTON
    left = room
    for word in title.split():
        needed = display_width(word) + 1
        if needed > left + 1 and left < room:
            lines, left = lines + 1, room
        left -= needed
    return lines


def header_height(lines: int) -> float:
    """Returns a header row's height in points, because some programs do not calculate it when they open a file."""
    return min(6.0 + 15.0 * lines, HIGHEST)


def column_widths(columns: Sequence[SheetColumn], schema: pa.Schema, sample: pa.RecordBatch | None) -> list[float]:
    """Returns each column's width in Excel's units.

    Args:
        columns: titles, and widths if the definition sets them.
        schema: the schema of the rows.
        sample: the first rows, if there are any.
    """
    return [
        column.width or _width(column, schema.field(column.name).type, sample.column(position) if sample else None)
        for position, column in enumerate(columns)
    ]


def _width(column: SheetColumn, kind: pa.DataType, sample: pa.Array | None) -> float:
    header = min(header_width(column.title), WIDEST) + FILTER_BUTTON
    fixed = next((width for name, width in FIXED.items() if str(kind).startswith(name)), None)
    content = fixed if fixed else _content_width(sample, kind) if sample is not None else NARROWEST
    if column.total in ("mean", "min", "max"):
        content += TOTAL_WORD + (MEAN_DECIMAL if column.total == "mean" else 0)
    return round(min(max(header, content, NARROWEST), WIDEST), 1)


def _content_width(values: pa.Array, kind: pa.DataType) -> float:
    shown = to_series(values.slice(0, 1000)).cast(pl.String).drop_nulls().str.slice(0, MEASURED)
    if shown.is_empty():
        return NARROWEST
    longest = max(display_width(text) for text in shown.to_list())
    separators = 1.0 + longest / 4 if pa.types.is_decimal(kind) else 1.0
    return min(longest + separators, WIDEST)
