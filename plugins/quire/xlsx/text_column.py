"""A text column's cells: shared strings while they are few, inline ones from then on."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from quire.xlsx.cells import Cells, Styles
from quire.xlsx.shared_strings import SharedStrings
from quire.xlsx.text import LONGEST_TEXT, QUOTED, escape_texts, longest

MOST_DISTINCT = 10_000
FEW_ROWS = 256  # of a batch; too few to tell whether values repeat


class TextColumn:
    """Renders a text column, batch by batch, in order.

    Args:
        styles: its style numbers.
        strings: the workbook's table.
    """

    def __init__(self, styles: Styles, strings: SharedStrings) -> None:
        self._styles, self._strings = styles, strings
        self._known: dict[str, str] = {}
        self._shares = True

    def prepare(self, column: pl.Series) -> Callable[[], Cells]:
        """Gives new strings their places, in order, and returns what renders the batch, on any thread."""
        if self._shares:
            distinct = column.drop_nulls().unique(maintain_order=True)
            if self._few(distinct, len(column)):
                fragments = pl.Series([self._fragment(text) for text in distinct], dtype=pl.String)
                return lambda: Cells(column.replace_strict(distinct, fragments, return_dtype=pl.String))
            self._shares = False
            self._known.clear()
        return lambda: inline_cells(column, self._styles)

    def _few(self, distinct: pl.Series, rows: int) -> bool:
        if self._strings.full or len(self._known) + len(distinct) > MOST_DISTINCT:
            return False
        if longest(distinct) > LONGEST_TEXT:  # it may have to be cut, which is counted by rows
            return False
        return rows < FEW_ROWS or len(distinct) <= rows // 2

    def _fragment(self, text: str) -> str:
        fragment = self._known.get(text)
        if fragment is None:
            style = self._styles.quoted if text[:1] in ("=", "+", "-", "@", "\t", "\r") else self._styles.text
            fragment = self._known[text] = f'" s="{style}" t="s"><v>{self._strings.number(text)}</v></c>'
        return fragment


def inline_cells(column: pl.Series, styles: Styles) -> Cells:
    """Returns texts that stand in their cells."""
    escaped, cut = escape_texts(column)
    after = "</t></is></c>"
    before = f'" s="{styles.text}" t="inlineStr"><is><t xml:space="preserve">'
    quoted = column.str.contains(QUOTED)
    if not quoted.any():
        return Cells(escaped, before, after, cut=cut)
    quoted_before = f'" s="{styles.quoted}" t="inlineStr"><is><t xml:space="preserve">'
    values = pl.select(pl.when(quoted).then(quoted_before + escaped + after).otherwise(before + escaped + after))
    return Cells(values.to_series(), cut=cut)
