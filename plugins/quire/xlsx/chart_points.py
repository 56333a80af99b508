"""The rows and markers of a chart, which are the same in a workbook and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MAX_BARS = 30  # more bars or slices are unreadable; the summary's order determines which rows come first
MAX_POINTS = 1_000  # in a line, area or scatter chart
MAX_MARKED = 30  # a line with more points has no markers
CONTINUOUS = ("line", "area", "scatter")


def charted_rows(kind: str, rows: int) -> int:
    """Returns how many of the first rows a chart shows."""
    return min(rows, MAX_POINTS if kind in CONTINUOUS else MAX_BARS)


def chart_heading(heading: str, kind: str, rows: int) -> str:
    """Returns a chart's title, with a note if the chart does not show all rows."""
    points = charted_rows(kind, rows)
    return f"{heading} (first {points:,} of {rows:,})" if points < rows else heading


def needs_marks(values: Sequence[Any]) -> bool:
    """Returns whether a line needs markers: it has few points, or a point without neighbors would be invisible."""
    if len(values) <= MAX_MARKED:
        return True
    padded = [None, *values, None]
    return any(
        value is not None and before is None and after is None
        for before, value, after in zip(padded, padded[1:], padded[2:], strict=False)
    )
