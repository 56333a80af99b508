"""Calculates scales for page charts, with ticks at round values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quire.number_formats import format_value
from quire.tables_and_charts.chart_data import GENERAL, Series

MIN_SPAN = 1e-100


def scale_ends(series: Sequence[Series]) -> tuple[float, float]:
    """Returns a scale's ends, which always differ: the minimum and maximum of all values and zero."""
    values = [value for measure in series for value in measure.values if value is not None]
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
    return low, high if high - low > MIN_SPAN else low + 1.0


def round_ticks(low: float, high: float) -> list[float]:
    """Returns about four round values, the first and last of which enclose a range."""
    rough = max(high - low, abs(high) * 1e-9, MIN_SPAN) / 3
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(round_step * size for round_step in (1, 2, 2.5, 5, 10) if round_step * size >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def tick_texts(ticks: Sequence[float], code: str) -> list[str]:
    """Returns the tick labels in the column's format, or with more digits if two labels would otherwise be the same."""
    if code != GENERAL:
        texts = [format_value(float(f"{tick:.12g}"), code) for tick in ticks]
        if len(set(texts)) == len(texts):
            return texts
    return [f"{tick:,.6g}" for tick in ticks]
