"""Derives column widths from the headers and a sample of the values."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from quire.output_values.polars_series import to_series
from quire.xlsx.model import SheetColumn

MIN_WIDTH, MAX_WIDTH = 8.0, 48.0
MAX_HEADER_WIDTH = 16  # longer titles wrap
FILTER_BUTTON = 3.0  # in characters
FIXED_WIDTHS = {"date": 11.5, "timestamp": 19.5, "time": 10.0, "bool": 8.0}
MAX_ROW_HEIGHT = 409.0  # Excel's limit, in points
MAX_MEASURED = 255  # Excel's widest column
TOTAL_WORD_WIDTH = 5.0  # room for the word "mean" before a total
MEAN_DECIMAL_WIDTH = 2.0  # room for the decimal place in a mean of integers


def display_width(text: str) -> float:
    """Returns the width of a string's first line, in Latin characters; an East Asian character counts as two.

    Only the first ``MAX_MEASURED`` characters are measured, because no column can be wider.
    """
    first = text[:MAX_MEASURED].split("\n", 1)[0]
    if first.isascii():
        return float(len(first))
    return sum(2.0 if unicodedata.east_asian_width(character) in "WF" else 1.0 for character in first)


def header_width(title: str) -> float:
    """Returns the column width that a title needs; long titles wrap between words."""
    longest_word = max((display_width(word) for word in title.split()), default=0.0)
    return max(longest_word, min(display_width(title), MAX_HEADER_WIDTH))


def header_lines(title: str, width: float) -> int:
    """Returns how many lines a title takes up in a column of the given width."""
    lines, line_width = 1, width - FILTER_BUTTON
    left = line_width
    for word in title.split():
        needed = display_width(word) + 1
        if needed > left + 1 and left < line_width:
            lines, left = lines + 1, line_width
        left -= needed
    return lines


def header_height(lines: int) -> float:
    """Returns the height of a header row in points; some programs do not calculate it when they open a file."""
    return min(6.0 + 15.0 * lines, MAX_ROW_HEIGHT)


def column_widths(columns: Sequence[SheetColumn], schema: pa.Schema, sample: pa.RecordBatch | None) -> list[float]:
    """Returns each column's width in Excel's units.

    Args:
        columns: the columns, with their titles and any widths set in the definition.
        schema: the rows' schema.
        sample: the first rows, if any.
    """
    return [
        column.width or _width(column, schema.field(column.name).type, sample.column(position) if sample else None)
        for position, column in enumerate(columns)
    ]


def _width(column: SheetColumn, kind: pa.DataType, sample: pa.Array | None) -> float:
    header = min(header_width(column.title), MAX_WIDTH) + FILTER_BUTTON
    fixed = next((width for name, width in FIXED_WIDTHS.items() if str(kind).startswith(name)), None)
    content = fixed if fixed else _content_width(sample, kind) if sample is not None else MIN_WIDTH
    if column.total in ("mean", "min", "max"):
        content += TOTAL_WORD_WIDTH + (MEAN_DECIMAL_WIDTH if column.total == "mean" else 0)
    return round(min(max(header, content, MIN_WIDTH), MAX_WIDTH), 1)


def _content_width(values: pa.Array, kind: pa.DataType) -> float:
    texts = to_series(values.slice(0, 1000)).cast(pl.String).drop_nulls().str.slice(0, MAX_MEASURED)
    if texts.is_empty():
        return MIN_WIDTH
    longest = max(display_width(text) for text in texts.to_list())
    separators = 1.0 + longest / 4 if pa.types.is_decimal(kind) else 1.0
    return min(longest + separators, MAX_WIDTH)
