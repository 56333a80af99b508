"""Builds a page's summary tables and charts from the same stored objects as the workbook."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from quire.errors import IntegrityError
from quire.number_formats import format_value
from quire.object_store import Store
from quire.record_types.manifest import Manifest
from quire.record_types.stage_records import StagedSummary
from quire.report.definition import ReportDefinition, Summary
from quire.tables_and_charts.summary_limits import read_first_rows
from quire.tables_and_charts.summary_sheets import summary_sheet
from quire.tables_and_charts.svg_chart import draw_chart
from quire.xlsx.cell_values import column_values
from quire.xlsx.chart_points import charted_rows
from quire.xlsx.excel_limits import MAX_SHEET_ROWS
from quire.xlsx.model import SheetColumn, TableSheet
from quire.xlsx.styles import number_format

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

MAX_ROWS = 12  # the workbook contains all rows


class ColumnConverter(Protocol):
    """Converts a column's values, as ``column_values`` does."""

    def __call__(self, table: pa.Table, column: SheetColumn, *, timezone: str) -> list[Any]:
        """Returns a column's values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryTable:
    """A summary on a page.

    Args:
        name: the summary's name.
        header: each column's title, and whether the column contains numbers.
        rows: the first rows, as formatted cells.
        total_rows: the total number of rows.
        chart: the chart as SVG, or an empty string if there is no chart.
    """

    name: str
    header: list[tuple[str, bool]]
    rows: list[list[str]]
    total_rows: int
    chart: str


def summary_tables(
    definition: ReportDefinition, manifest: Manifest, *, store: Store, convert: ColumnConverter = column_values
) -> list[SummaryTable]:
    """Returns a run's summaries, or an empty list if their names differ from the definition's summaries.

    The list is also empty if a summary is missing or too large. This function reads one summary at a time, and keeps
    in memory only the rows that the page shows.

    Args:
        definition: the report.
        manifest: the run's manifest.
        store: the store that holds the summaries.
        convert: converts a column's values as the workbook does.
    """
    if not has_summaries(definition, manifest):
        return []
    stored = {staged.name: staged for staged in manifest.summaries}
    try:
        tables = [
            _first_table(definition, summary, stored[summary.name], store=store, convert=convert)
            for summary in definition.summaries
        ]
    except IntegrityError as error:
        logger.warning("%s %s: summaries omitted from the page: %s", manifest.report, manifest.run, error)
        return []
    return [table for table in tables if table]


def _first_table(
    definition: ReportDefinition, summary: Summary, staged: StagedSummary, *, store: Store, convert: ColumnConverter
) -> SummaryTable | None:
    """Returns a summary's first rows, or None if the summary lacks a column in the current definition."""
    columns = {*(key.column for key in summary.by), *summary.measures}
    chart_rows = charted_rows(summary.chart.type, MAX_SHEET_ROWS) if summary.chart else 0
    table, total_rows = read_first_rows(staged, columns, max(MAX_ROWS, chart_rows), store=store)
    sheet = summary_sheet(definition, summary, table)
    if not has_all_columns(sheet):
        return None
    return _table(sheet, definition.timezone, total_rows=total_rows, convert=convert)


def has_summaries(definition: ReportDefinition, manifest: Manifest) -> bool:
    """Returns whether a run's summaries have the same names as those in the current definition."""
    return {staged.name for staged in manifest.summaries} == {summary.name for summary in definition.summaries}


def has_all_columns(sheet: TableSheet) -> bool:
    """Returns whether the stored table has all columns in the current definition."""
    return {column.name for column in sheet.columns} <= set(sheet.table.schema.names)


def sheet_formats(sheet: TableSheet) -> dict[str, str]:
    """Returns the format code that the workbook uses for each column."""
    schema = sheet.table.schema
    return {
        column.name: column.number_format or number_format(schema.field(column.name).type) for column in sheet.columns
    }


def _table(
    sheet: TableSheet, timezone: str, *, total_rows: int, convert: ColumnConverter = column_values
) -> SummaryTable:
    import pyarrow.types as kinds

    schema, formats = sheet.table.schema, sheet_formats(sheet)
    cells = {column.name: convert(sheet.table, column, timezone=timezone) for column in sheet.columns}
    texts = [[format_value(value, formats[name]) for value in values[:MAX_ROWS]] for name, values in cells.items()]
    header = []
    for column in sheet.columns:
        kind = schema.field(column.name).type
        is_number = kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind)
        header.append((column.title, is_number))
    return SummaryTable(
        name=sheet.heading,
        header=header,
        rows=[list(row) for row in zip(*texts, strict=True)],
        total_rows=total_rows,
        chart=draw_chart(sheet, cells, formats, total_rows=total_rows),
    )
