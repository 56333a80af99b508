"""Renders batches of rows as sheet XML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from quire.output_values.polars_series import to_series
from quire.xlsx import cells
from quire.xlsx.cells import Cells, Styles
from quire.xlsx.column_totals import PartialTotal, partial_total
from quire.xlsx.model import DetailTable, SheetColumn
from quire.xlsx.names import column_letters
from quire.xlsx.shared_strings import SharedStrings
from quire.xlsx.text_column import TextColumn
from quire.xlsx.xml_text import MAX_TEXT_LENGTH

Render = Callable[[pl.Series, Styles], Cells]
Prepare = Callable[[pa.Array], Callable[[], Cells]]
# the maximum sizes of the XML around a value and of an escaped UTF-16 code unit
MAX_CELL_BYTES, MAX_ESCAPED_BYTES = 120, 7


@dataclass(frozen=True, slots=True)
class RenderedColumn:
    """The partial total and the counts for one column of a batch.

    Args:
        partial_total: the batch's contribution to the total; None if the column has no total.
        texts: how many values were written as text.
        cut: how many strings were truncated.
    """

    partial_total: PartialTotal | None
    texts: int
    cut: int


@dataclass(frozen=True, slots=True)
class RenderedRows:
    """Rows as XML, with each column's partial total and counts."""

    xml: memoryview
    rows: int
    columns: tuple[RenderedColumn, ...]


class RowRenderer:
    """Renders batches as XML rows, in order.

    Args:
        detail: the columns and their schema.
        styles: each column's style numbers.
        timezone: the IANA name of the zone to which timestamps with time zone are converted.
        strings: the workbook's shared strings.
        share_all: whether to share all strings, even in columns with few repeated strings.
    """

    def __init__(
        self,
        detail: DetailTable,
        styles: Sequence[Styles],
        *,
        timezone: str,
        strings: SharedStrings,
        share_all: bool = False,
    ) -> None:
        self._columns = detail.columns
        self._opens = [f'<c r="{column_letters(position)}' for position in range(len(self._columns))]
        self._prepares: list[Prepare] = []
        for column, style in zip(detail.columns, styles, strict=True):
            kind = detail.schema.field(column.name).type
            if pa.types.is_string(kind) and not column.numeric_text:
                self._prepares.append(TextColumn(style, strings, share_all=share_all).prepare)
            else:
                self._prepares.append(_preparer(kind, column, style, timezone=timezone))

    def prepare(self, batch: pa.RecordBatch, first_row: int) -> Callable[[], RenderedRows]:
        """Does the work that depends on the order of batches; the returned function does the rest on any thread.

        Args:
            batch: the rows; their columns are in the order of ``detail.columns``.
            first_row: the sheet's row number for the batch's first row, counted from 1.
        """
        renders = [prepare(column) for prepare, column in zip(self._prepares, batch.columns, strict=True)]
        return partial(self._render, renders, first_row, batch.num_rows)

    def _render(self, renders: Sequence[Callable[[], Cells]], first_row: int, rows: int) -> RenderedRows:
        cells = [render() for render in renders]
        facts = tuple(
            RenderedColumn(partial_total(cell, column.total) if column.total else None, cell.texts, cell.cut)
            for column, cell in zip(self._columns, cells, strict=True)
        )
        return RenderedRows(self._join(cells, first_row, rows), rows, facts)

    def _join(self, columns_cells: Sequence[Cells], first_row: int, rows: int) -> memoryview:
        numbers = pl.int_range(first_row, first_row + rows, dtype=pl.Int64, eager=True).cast(pl.String)
        columns = [numbers.alias("row"), *(cell.values.alias(str(n)) for n, cell in enumerate(columns_cells))]
        columns += [
            cell.before.alias(f"before {n}")
            for n, cell in enumerate(columns_cells)
            if isinstance(cell.before, pl.Series)
        ]
        frame, row = pl.DataFrame(columns), pl.col("row")
        pieces: list[pl.Expr] = [pl.lit('<row r="'), row]
        text = '">'  # the XML between two of the frame's columns, joined into one literal
        for position, (opening, cell) in enumerate(zip(self._opens, columns_cells, strict=True)):
            value, before = pl.col(str(position)), _before(cell, position)
            if cell.values.null_count():  # concatenating a NULL value yields NULL, so the cell is omitted
                cells = pl.concat_str([pl.lit(opening), row, *before, value, *_literal(cell.after)])
                pieces += [*_literal(text), cells]
                text = ""
            else:
                pieces += [pl.lit(text + opening), row, *before, value]
                text = cell.after
        pieces.append(pl.lit(f"{text}</row>"))
        joined = frame.select(pl.concat_str(pieces, ignore_nulls=True)).to_series()
        array = joined.to_arrow(compat_level=pl.CompatLevel.oldest())
        return memoryview(_joined_bytes(array))


def size_bound(batch: pa.RecordBatch) -> int:
    """Returns an upper bound on a batch's size as XML."""
    texts = [column for column in batch.columns if pa.types.is_string(column.type)]
    cells: int = batch.num_rows * (batch.num_columns + 1)
    return cells * MAX_CELL_BYTES + sum(_max_units(column) for column in texts) * MAX_ESCAPED_BYTES


def _max_units(column: pa.Array) -> int:
    """Returns an upper bound on the number of UTF-16 code units in a column's cells: the column's size in bytes."""
    lengths = pc.binary_length(column)
    if (pc.max(lengths).as_py() or 0) > MAX_TEXT_LENGTH:
        return sum(min(length, MAX_TEXT_LENGTH) for length in lengths.to_pylist() if length)
    return pc.sum(lengths).as_py() or 0


def _joined_bytes(array: pa.LargeStringArray) -> pa.Buffer:
    """Returns an array's strings, concatenated without copying."""
    if not len(array):
        return pa.py_buffer(b"")
    offsets = pa.Array.from_buffers(pa.int64(), len(array) + 1, [None, array.buffers()[1]], offset=array.offset)
    start, stop = offsets[0].as_py(), offsets[len(array)].as_py()
    return array.buffers()[2].slice(start, stop - start)


def _before(cell: Cells, position: int) -> list[pl.Expr]:
    return _literal(cell.before) if isinstance(cell.before, str) else [pl.col(f"before {position}")]


def _literal(text: str) -> list[pl.Expr]:
    return [pl.lit(text)] if text else []


def _preparer(kind: pa.DataType, column: SheetColumn, styles: Styles, *, timezone: str) -> Prepare:
    render = cells.numeric_text_cells if column.numeric_text else _render_for(kind, timezone)
    return lambda values: partial(_render_values, render, values, styles)


def _render_values(render: Render, values: pa.Array, styles: Styles) -> Cells:
    if pa.types.is_time64(values.type):
        values = values.view(pa.int64())
    return render(to_series(values), styles)


def _render_for(kind: pa.DataType, timezone: str) -> Render:
    renders: tuple[tuple[Callable[[pa.DataType], bool], Render], ...] = (
        (pa.types.is_boolean, cells.boolean_cells),
        (pa.types.is_integer, cells.integer_cells),
        (pa.types.is_floating, cells.float_cells),
        (pa.types.is_decimal, cells.decimal_cells),
        (pa.types.is_date32, cells.date_cells),
        (pa.types.is_timestamp, partial(cells.timestamp_cells, timezone=timezone)),
        (pa.types.is_time64, cells.time_cells),
    )
    for is_type, render in renders:
        if is_type(kind):
            return render
    raise TypeError(f"{kind} columns cannot be written to a sheet")
