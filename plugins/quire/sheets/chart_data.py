"""What a page's chart shows: the same rows, numbers and texts as the chart of the summary's sheet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quire.format_codes import format_value
from quire.format_codes.date_times import EXCEL_EPOCH
from quire.xlsx.chart_points import charted_rows
from quire.xlsx.model import TableSheet

LARGEST = 1e100
GENERAL = "General"


@dataclass(frozen=True, slots=True)
class Series:
    """One measure: its values as numbers and as texts, a missing one as None."""

    title: str
    values: list[float | None]
    texts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartData:
    """A chart's content.

    Args:
        labels: of the rows, as texts.
        places: of the rows along a scale, where they are numbers or dates.
        series: the measures.
        x_title: of the rows' column.
        x_format: its format code.
        y_format: the first measure's format code, which the scale has too.
    """

    labels: list[str]
    places: list[float | None]
    series: list[Series]
    x_title: str
    x_format: str
    y_format: str


def chart_data(sheet: TableSheet, cells: Mapping[str, Sequence[Any]], formats: Mapping[str, str]) -> ChartData | None:
    """Returns what a sheet's chart shows; None where it has none, or nothing with a length.

    Args:
        sheet: with its table.
        cells: of each column, as the workbook keeps them.
        formats: each column's format code.
    """
    chart = sheet.chart
    if chart is None or not sheet.table.num_rows:
        return None
    titles = {column.name: column.title for column in sheet.columns}
    count = charted_rows(chart.kind, sheet.table.num_rows)
    rows = cells[chart.x][:count]
    series = [
        Series(
            titles[name],
            [_finite(value) for value in sheet.table[name].slice(0, count).to_pylist()],
            [format_value(value, formats[name]) for value in cells[name][:count]],
        )
        for name in chart.y
    ]
    if not any(value is not None for one in series for value in one.values):
        return None  # measures of dates and texts have no lengths
    return ChartData(
        labels=[format_value(value, formats[chart.x]) for value in rows],
        places=[_place(value) for value in rows],
        series=series,
        x_title=titles[chart.x],
        x_format=formats[chart.x],
        y_format=formats[chart.y[0]],
    )


def _place(value: Any) -> float | None:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    if isinstance(value, dt.datetime):  # days since Excel's epoch, as its cell has them
        return (value - EXCEL_EPOCH) / dt.timedelta(days=1)
    return _finite(value)


def _finite(value: Any) -> float | None:
    """Returns a number that can be drawn; None for what is none, and for those of another world's size."""
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return None
    number = float(value)
    return number if abs(number) < LARGEST else None
