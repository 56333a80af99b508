"""Builds a sheet for each summary, with the summary's table and chart."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from quire.date_range import Grain
from quire.object_store import Store
from quire.record_types.stage_records import StagedSummary
from quire.report.definition import GroupKey, ReportDefinition, Summary
from quire.xlsx.model import Chart, SheetColumn, TableSheet

PERIOD_FORMATS = {Grain.MONTH: "mmm yyyy", Grain.YEAR: "yyyy"}  # for all other periods, cells show the first day
DAY_FORMAT = "yyyy-mm-dd"


def summary_sheets(
    definition: ReportDefinition,
    summaries: Sequence[StagedSummary],
    *,
    store: Store,
    ensure: Callable[[bytes, str], None] = lambda body, key: None,
) -> tuple[TableSheet, ...]:
    """Returns a sheet for each summary.

    Args:
        definition: the report.
        summaries: the run's summaries.
        store: the object store.
        ensure: checks a summary's stored bytes before they are parsed; receives the bytes and the object key.

    Raises:
        DamagedObjectError: a summary is missing or damaged.
    """
    stored = {staged.name: staged for staged in summaries}
    return tuple(
        summary_sheet(definition, summary, _read_table(store, stored[summary.name], ensure))
        for summary in definition.summaries
    )


def summary_sheet(definition: ReportDefinition, summary: Summary, table: pa.Table) -> TableSheet:
    """Returns the sheet for one summary.

    Args:
        definition: the report.
        summary: one of the report's summaries.
        table: the summary's rows.
    """
    columns = [
        SheetColumn(name=key.column, title=definition.group_title(key), number_format=_key_format(definition, key))
        for key in summary.by
    ]
    columns += [
        SheetColumn(name=name, title=measure.title, number_format=measure.format)
        for name, measure in summary.measures.items()
    ]
    chart = summary.chart
    return TableSheet(
        sheet_name=summary.name,
        heading=summary.name,
        columns=tuple(columns),
        table=table,
        chart=Chart(kind=chart.type, x=chart.x, y=chart.y) if chart else None,
    )


def _key_format(definition: ReportDefinition, key: GroupKey) -> str | None:
    if key.every:
        return PERIOD_FORMATS.get(key.every, DAY_FORMAT)
    return next((column.format for column in definition.columns if column.name == key.column), None)


def _read_table(store: Store, summary: StagedSummary, ensure: Callable[[bytes, str], None]) -> pa.Table:
    body = store.read_verified(summary.object_key, sha256=summary.sha256, size=summary.bytes)
    ensure(body, summary.object_key)
    table = pq.read_table(io.BytesIO(body))
    return table.cast(sheet_schema(table.schema))


def sheet_schema(stored: pa.Schema) -> pa.Schema:
    """Returns the schema for a sheet's table, which is the stored schema with strings instead of large strings."""
    fields = [(field.name, pa.string() if pa.types.is_large_string(field.type) else field.type) for field in stored]
    return pa.schema(fields)
