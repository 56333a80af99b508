"""Renders a text column, first as shared strings, then as inline strings once there are too many distinct values."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from quire.output_values.polars_series import to_series
from quire.xlsx.cells import Cells, Styles
from quire.xlsx.shared_strings import SharedStrings
from quire.xlsx.xml_text import FORMULA_STARTS, MAX_TEXT_LENGTH, QUOTED, cut_text, cut_texts, escape_texts

MAX_DISTINCT = 10_000
RARE_BYTES = (b"&", b"<", b">", b"_x", b"\xef\xbf")


class TextColumn:
    """Renders a text column, batch by batch, in order.

    Args:
        styles: the column's style numbers.
        strings: the workbook's shared strings.
        share_all: whether to share every string that fits in the table, even in a column with few repeated strings.
    """

    def __init__(self, styles: Styles, strings: SharedStrings, *, share_all: bool) -> None:
        self._styles, self._strings, self._share_all = styles, strings, share_all
        self._is_shared = True
        # Unlike pa.nulls, pa.array([]) imports pandas if it is installed.
        self._distinct = pa.nulls(0, pa.string())
        self._cells = pl.Series(dtype=pl.String)  # each distinct string's cell XML after the row number
        self._cut: list[int] = []  # positions of truncated strings

    def prepare(self, column: pa.Array) -> Callable[[], Cells]:
        """Adds new strings in order, and returns a function that can render the batch on any thread."""
        if self._is_shared:
            positions = pc.index_in(column, value_set=self._distinct)
            if positions.null_count > column.null_count:
                new = pc.unique(column.filter(pc.and_(pc.is_null(positions), pc.is_valid(column))))
                self._is_shared = self._can_share(new, len(column))
                if self._is_shared:
                    self._add_strings(new)
                    positions = pc.index_in(column, value_set=self._distinct)
            if self._is_shared:
                cells, cut = self._cells, tuple(self._cut)
                return lambda: _shared_cells(positions, cells, cut)
            self._distinct, self._cells = pa.nulls(0, pa.string()), pl.Series(dtype=pl.String)
        return lambda: inline_cells(column, self._styles)

    def _can_share(self, new: pa.Array, rows: int) -> bool:
        if not self._strings.has_room(len(new), new.nbytes):
            return False
        return self._share_all or (len(self._distinct) + len(new) <= MAX_DISTINCT and len(new) <= rows // 2)

    def _add_strings(self, new: pa.Array) -> None:
        cells = []
        for position, text in enumerate(new.to_pylist(), len(self._distinct)):
            cell_text = cut_text(text)
            if len(cell_text) < len(text):
                self._cut.append(position)
            style = self._styles.quoted if text[:1] in FORMULA_STARTS else self._styles.text
            cells.append(f'" s="{style}" t="s"><v>{self._strings.number(cell_text)}</v></c>')
        self._distinct = pa.concat_arrays([self._distinct, new])
        self._cells = pl.concat([self._cells, pl.Series(cells, dtype=pl.String)], rechunk=True)


def _shared_cells(positions: pa.Array, cells: pl.Series, cut: tuple[int, ...]) -> Cells:
    numbers = to_series(positions)
    return Cells(cells.gather(numbers), cut=int(numbers.is_in(cut).sum()) if cut else 0)


def inline_cells(column: pa.Array, styles: Styles) -> Cells:
    """Renders text as inline strings."""
    texts, cut = to_series(column), 0
    column_bytes = _ColumnBytes(column)
    if column_bytes.longest > MAX_TEXT_LENGTH:
        texts, cut = cut_texts(texts)
    if column_bytes.need_escapes:
        texts = escape_texts(texts)
    after = "</t></is></c>"
    before = f'" s="{styles.text}" t="inlineStr"><is><t xml:space="preserve">'
    if not column_bytes.begin_formulas or not (quoted := to_series(column).str.contains(QUOTED)).any():
        return Cells(texts, before, after, cut=cut)
    quoted_before = f'" s="{styles.quoted}" t="inlineStr"><is><t xml:space="preserve">'
    alternatives = pl.Series([before, quoted_before])
    return Cells(texts, alternatives.gather(quoted.fill_null(value=False).cast(pl.UInt32)), after, cut=cut)


class _ColumnBytes:
    """A column's properties, derived from all of its bytes at once rather than from each value."""

    def __init__(self, column: pa.Array) -> None:
        offsets, data = column.buffers()[1:]
        self.longest = pc.max(pc.binary_length(column)).as_py() or 0
        bounds = pa.Array.from_buffers(pa.int32(), len(column) + 1, [None, offsets], offset=column.offset)
        start, stop = bounds[0].as_py(), bounds[len(column)].as_py()
        self._bytes = data.slice(start, stop - start).to_pybytes() if data is not None else b""
        octets = pa.Array.from_buffers(pa.uint8(), len(self._bytes), [None, pa.py_buffer(self._bytes)])
        self._lowest = pc.min(octets).as_py() or 0

    @property
    def need_escapes(self) -> bool:
        """Whether any value might need escaping; False means that none does."""
        return self._lowest < 0x20 or any(self._contains(rare) for rare in RARE_BYTES)

    def _contains(self, rare: bytes) -> bool:
        """Returns whether the bytes occur. Searches for the first byte beforehand, which is several times faster."""
        return rare[:1] in self._bytes and rare in self._bytes

    @property
    def begin_formulas(self) -> bool:
        """Whether any value might start like a formula; False means that none does."""
        return self._lowest < 0x20 or any(start.encode() in self._bytes for start in FORMULA_STARTS)
