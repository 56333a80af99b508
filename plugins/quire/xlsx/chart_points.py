"""Determines a chart's rows and markers, which are the same in a workbook and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MAX_BARS = 30  # more bars or slices are unreadable; the summary's order determines which rows are shown
MAX_POINTS = 1_000  # for a line, area or scatter chart
MAX_MARKED = 30  # if a line has more points, it has no markers
CONTINUOUS = ("line", "area", "scatter")


def charted_rows(kind: str, rows: int) -> int:
    """Returns how many rows a chart shows. A chart always shows the first rows."""
    return min(rows, MAX_POINTS if kind in CONTINUOUS else MAX_BARS)


def chart_heading(heading: str, kind: str, rows: int) -> str:
    """Returns a chart's title; if the chart does not show all rows, the title includes a note."""
    points = charted_rows(kind, rows)
    return f"{heading} (first {points:,} of {rows:,})" if points < rows else heading


def needs_marks(values: Sequence[Any]) -> bool:
    """Returns whether a line needs markers: it has few points, or a point has no neighbors to connect it to."""
    if len(values) <= MAX_MARKED:
        return True
    padded = [None, *values, None]
    return any(
        value is not None and before is None and after is None
        for before, value, after in zip(padded, padded[1:], padded[2:], strict=False)
    )
