"""Extracts the data for a page chart, with the same rows, numbers and labels as the workbook's chart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quire.number_formats import format_value
from quire.number_formats.date_times import EXCEL_EPOCH
from quire.xlsx.chart_points import charted_rows
from quire.xlsx.model import TableSheet

MAX_MAGNITUDE = 1e100
GENERAL = "General"


@dataclass(frozen=True, slots=True)
class Series:
    """A measure's values as numbers and as text; a missing number is None."""

    title: str
    values: list[float | None]
    texts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartData:
    """A chart's data.

    Args:
        labels: each row's label.
        positions: each row's position on the x scale; None if the row's x value is neither a number nor a date.
        series: a series for each measure.
        x_title: the x column's title.
        x_format: the x column's format code.
        y_format: the first measure's format code, which the y scale also uses.
    """

    labels: list[str]
    positions: list[float | None]
    series: list[Series]
    x_title: str
    x_format: str
    y_format: str


def chart_data(sheet: TableSheet, cells: Mapping[str, Sequence[Any]], formats: Mapping[str, str]) -> ChartData | None:
    """Returns the data for a sheet's chart, or None if the sheet has no chart or the chart has no numbers.

    Args:
        sheet: the sheet, including its table.
        cells: the cell values in each column, as in the workbook.
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
    if not any(value is not None for measure in series for value in measure.values):
        return None  # a chart cannot show dates or strings as measures
    return ChartData(
        labels=[format_value(value, formats[chart.x]) for value in rows],
        positions=[_position(value) for value in rows],
        series=series,
        x_title=titles[chart.x],
        x_format=formats[chart.x],
        y_format=formats[chart.y[0]],
    )


def _position(value: Any) -> float | None:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    if isinstance(value, dt.datetime):  # Excel's serial number
        return (value - EXCEL_EPOCH) / dt.timedelta(days=1)
    return _finite(value)


def _finite(value: Any) -> float | None:
    """Returns a value as a number that a chart can show, or None if it is not a number or is excessively large."""
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return None
    number = float(value)
    return number if abs(number) < MAX_MAGNITUDE else None
