"""Computes a report's headline totals: the first summary's measures, combined over all groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quire.number_formats import format_value
from quire.object_store import Store
from quire.record_types.manifest import Manifest
from quire.report.definition import ReportDefinition
from quire.report.definition.summary import Aggregation
from quire.tables_and_charts.page_tables import has_all_columns, has_summaries, sheet_formats
from quire.tables_and_charts.summary_limits import small_summary_sheets
from quire.xlsx.cell_values import to_cell_value

# The functions that combine group values. Means and medians cannot be combined.
OVER_GROUPS: Mapping[Aggregation, Callable[[Sequence[Any]], Any]] = {"count": sum, "sum": sum, "min": min, "max": max}


def _is_number(value: Any) -> bool:
    return value is not None and value == value  # NaN differs from itself


def summary_totals(definition: ReportDefinition, manifest: Manifest, *, store: Store) -> tuple[tuple[str, str], ...]:
    """Returns each headline total's title and formatted value.

    Values have the same format as on the summary sheet. There are no totals if the definition's summaries have changed
    since the run.

    Raises:
        IntegrityError: the stored summary is missing, damaged or too large.
        StoreUnavailableError: the object store is unavailable.
    """
    if not manifest.summaries or not has_summaries(definition, manifest):
        return ()
    summary, sheet = definition.summaries[0], small_summary_sheets(definition, manifest.summaries, store=store)[0]
    if not has_all_columns(sheet):
        return ()
    formats = sheet_formats(sheet)
    totals = []
    for column in sheet.columns:
        merge = OVER_GROUPS.get(summary.measures[column.name].agg) if column.name in summary.measures else None
        values = [value for value in sheet.table.column(column.name).to_pylist() if _is_number(value)]
        if merge and values:
            total = to_cell_value(merge(values), timezone=definition.timezone)
            totals.append((column.title, format_value(total, formats[column.name])))
    return tuple(totals)
