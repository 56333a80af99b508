"""A run's summaries as small tables with charts, from the same stored objects as the summaries' workbook."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from quire.errors import IntegrityError
from quire.format_codes import format_value
from quire.object_store import Store
from quire.records.manifest import Manifest
from quire.records.stage_records import StagedSummary
from quire.report.definition import ReportDefinition, Summary
from quire.sheets.summary_limits import MAX_TABLE_ROWS, read_first_rows
from quire.sheets.summary_sheets import summary_sheet
from quire.sheets.svg_chart import draw_chart
from quire.xlsx.cell_values import column_values
from quire.xlsx.chart_points import charted_rows
from quire.xlsx.model import TableSheet
from quire.xlsx.styles import number_format

logger = logging.getLogger(__name__)

MAX_ROWS = 12  # the workbook has all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryTable:
    """A summary on a page.

    Args:
        name: of the summary.
        header: titles, and whether the column is one of numbers.
        rows: their cells as text, the first few.
        total_rows: how many there are in all.
        chart: SVG, or nothing.
    """

    name: str
    header: list[tuple[str, bool]]
    rows: list[list[str]]
    total_rows: int
    chart: str


def summary_tables(definition: ReportDefinition, manifest: Manifest, *, store: Store) -> list[SummaryTable]:
    """Returns a run's summaries; none where the definition has other ones by now, or they are gone or too large.

    They are read one after the other, and of each no more is kept than the page shows.
    """
    if not has_summaries(definition, manifest):
        return []
    stored = {staged.name: staged for staged in manifest.summaries}
    try:
        tables = [_first_table(definition, summary, stored[summary.name], store) for summary in definition.summaries]
    except IntegrityError as error:
        logger.warning("%s %s: its summaries are not shown: %s", manifest.report, manifest.run, error)
        return []
    return [table for table in tables if table]


def _first_table(
    definition: ReportDefinition, summary: Summary, staged: StagedSummary, store: Store
) -> SummaryTable | None:
    """Returns what a page shows of a summary; None where the definition has columns by now that it lacks."""
    columns = {*(key.column for key in summary.by), *summary.measures}
    charted = charted_rows(summary.chart.type, MAX_TABLE_ROWS) if summary.chart else 0
    table, total_rows = read_first_rows(staged, columns, max(MAX_ROWS, charted), store=store)
    sheet = summary_sheet(definition, summary, table)
    return _table(sheet, definition.timezone, total_rows=total_rows) if is_shown_whole(sheet) else None


def has_summaries(definition: ReportDefinition, manifest: Manifest) -> bool:
    """Whether a run has the summaries that the definition has by now, by their names."""
    return {staged.name for staged in manifest.summaries} == {summary.name for summary in definition.summaries}


def is_shown_whole(sheet: TableSheet) -> bool:
    """Whether every column that the definition has by now is in what was stored."""
    return {column.name for column in sheet.columns} <= set(sheet.table.schema.names)


def sheet_formats(sheet: TableSheet) -> dict[str, str]:
    """Returns the format code of each column of a sheet, as its workbook has it."""
    schema = sheet.table.schema
    return {
        column.name: column.number_format or number_format(schema.field(column.name).type) for column in sheet.columns
    }


def _table(sheet: TableSheet, timezone: str, *, total_rows: int) -> SummaryTable:
    import pyarrow.types as kinds

    schema, formats = sheet.table.schema, sheet_formats(sheet)
    cells = {column.name: column_values(sheet.table, column, timezone=timezone) for column in sheet.columns}
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
