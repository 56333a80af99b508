"""Batches of rows as the XML of their sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl
import pyarrow as pa

from quire.xlsx import cells
from quire.xlsx.cells import Cells, Styles
from quire.xlsx.model import DetailTable
from quire.xlsx.names import column_letters
from quire.xlsx.shared_strings import SharedStrings
from quire.xlsx.text_column import TextColumn

Render = Callable[[pl.Series, Styles], Cells]
Prepare = Callable[[pl.Series], Callable[[], Cells]]
CELL_BYTES, ESCAPED = 120, 7  # the most that a cell has around its value, and that a byte of it grows to


@dataclass(frozen=True, slots=True)
class RenderedRows:
    """Some rows as XML, and their columns' cells, which totals are taken of."""

    xml: memoryview
    rows: int
    cells: tuple[Cells, ...]


class RowRenderer:
    """Turns batches into rows, in order.

    Args:
        detail: columns and schema.
        styles: of each column.
        timezone: that instants are shown in.
        strings: the workbook's shared strings.
    """

    def __init__(self, detail: DetailTable, styles: Sequence[Styles], *, timezone: str, strings: SharedStrings) -> None:
        self._names = [column.name for column in detail.columns]
        self._opens = [f'<c r="{column_letters(position)}' for position in range(len(self._names))]
        self._prepares = [
            _preparer(detail.schema.field(column.name).type, column.numeric_text, style, timezone, strings)
            for column, style in zip(detail.columns, styles, strict=True)
        ]

    def prepare(self, batch: pl.DataFrame, first_row: int) -> Callable[[], RenderedRows]:
        """Does what must be done in order, and returns the rest, to be done on any thread.

        Args:
            batch: rows, with the detail's columns in their order.
            first_row: the sheet's number of the first of them, from 1.
        """
        renders = [prepare(column) for prepare, column in zip(self._prepares, batch.get_columns(), strict=True)]
        return partial(self._render, renders, first_row, batch.height)

    def _render(self, renders: Sequence[Callable[[], Cells]], first_row: int, rows: int) -> RenderedRows:
        found = tuple(render() for render in renders)
        return RenderedRows(self._join(found, first_row, rows), rows, found)

    def _join(self, found: Sequence[Cells], first_row: int, rows: int) -> memoryview:
        numbers = pl.int_range(first_row, first_row + rows, dtype=pl.Int64, eager=True).cast(pl.String)
        frame = pl.DataFrame([numbers.alias("row"), *(cell.values.alias(str(n)) for n, cell in enumerate(found))])
        row = pl.col("row")
        pieces: list[pl.Expr] = [pl.lit('<row r="'), row]
        text = '">'  # what stands between two columns of the frame, joined to one literal
        for position, (opening, cell) in enumerate(zip(self._opens, found, strict=True)):
            value = pl.col(str(position))
            if cell.values.null_count():
                inner = [pl.lit(opening), row, *_literal(cell.before), value, *_literal(cell.after)]
                pieces += [*_literal(text), pl.concat_str(inner).fill_null("")]
                text = ""
            else:
                pieces += [pl.lit(text + opening), row, *_literal(cell.before), value]
                text = cell.after
        pieces.append(pl.lit(f"{text}</row>"))
        joined = frame.select(pl.concat_str(pieces)).to_series()
        array = joined.to_arrow(compat_level=pl.CompatLevel.oldest())
        return memoryview(_data(array))


def size_bound(batch: pl.DataFrame) -> int:
    """Returns how many bytes a batch has as XML at most."""
    return batch.height * (batch.width + 1) * CELL_BYTES + int(batch.estimated_size()) * ESCAPED


def _data(array: pa.LargeStringArray) -> pa.Buffer:
    """Returns the texts of an array, one behind the other, as they lie."""
    if not len(array):
        return pa.py_buffer(b"")
    offsets = pa.Array.from_buffers(pa.int64(), len(array) + 1, [None, array.buffers()[1]], offset=array.offset)
    start, stop = offsets[0].as_py(), offsets[len(array)].as_py()
    return array.buffers()[2].slice(start, stop - start)


def _literal(text: str) -> list[pl.Expr]:
    return [pl.lit(text)] if text else []


def _preparer(kind: pa.DataType, numeric_text: bool, styles: Styles, timezone: str, strings: SharedStrings) -> Prepare:
    if pa.types.is_string(kind) and not numeric_text:
        return TextColumn(styles, strings).prepare
    render = cells.numeric_text_cells if numeric_text else _render_of(kind, timezone)
    return lambda column: partial(render, column, styles)


def _render_of(kind: pa.DataType, timezone: str) -> Render:
    tests: tuple[tuple[Callable[[pa.DataType], bool], Render], ...] = (
        (pa.types.is_boolean, cells.boolean_cells),
        (pa.types.is_integer, cells.integer_cells),
        (pa.types.is_floating, cells.float_cells),
        (pa.types.is_decimal, cells.decimal_cells),
        (pa.types.is_date32, cells.date_cells),
        (pa.types.is_timestamp, partial(cells.timestamp_cells, timezone=timezone)),
        (pa.types.is_time64, cells.time_cells),
    )
    for fits, render in tests:
        if fits(kind):
            return render
    raise TypeError(f"no cell is known for {kind}")
