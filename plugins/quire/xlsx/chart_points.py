"""Which rows of a small sheet its chart shows, and where a line needs marks: the same in a workbook and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MAX_BARS = 30  # more of them, or more slices, are unreadable: the summary's order chose the first
MAX_POINTS = 1_000  # of a line, an area, or a cloud of points
MAX_MARKED = 30  # points of a line that are marked each
CONTINUOUS = ("line", "area", "scatter")


def charted_rows(kind: str, rows: int) -> int:
    """Returns how many of a table's rows its chart shows: the first ones."""
    return min(rows, MAX_POINTS if kind in CONTINUOUS else MAX_BARS)


def chart_heading(heading: str, kind: str, rows: int) -> str:
    """Returns a chart's title, which says where the chart shows less than the table."""
    points = charted_rows(kind, rows)
    return f"{heading} (first {points:,} of {rows:,})" if points < rows else heading


def needs_marks(values: Sequence[Any]) -> bool:
    """Returns whether a line's points are marked: where there are few, or one without neighbours would be invisible."""
    if len(values) <= MAX_MARKED:
        return True
    padded = [None, *values, None]
    return any(
        value is not None and before is None and behind is None
        for before, value, behind in zip(padded, padded[1:], padded[2:], strict=False)
    )
