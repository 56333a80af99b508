"""What a report's first summary adds up to: the figures that people look for first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quire.format_codes import format_value
from quire.object_store import Store
from quire.records.manifest import Manifest
from quire.report.definition import ReportDefinition
from quire.report.definition.summary import Aggregation
from quire.sheets.page_tables import has_summaries, is_shown_whole, sheet_formats
from quire.sheets.summary_limits import small_summary_sheets
from quire.xlsx.cell_values import to_cell_value

# Of all rows, from those of each group; a mean or a median cannot be told so.
OVER_GROUPS: Mapping[Aggregation, Callable[[Sequence[Any]], Any]] = {"count": sum, "sum": sum, "min": min, "max": max}


def _is_number(value: Any) -> bool:
    return value is not None and value == value  # as NaN is not


def summary_totals(definition: ReportDefinition, manifest: Manifest, *, store: Store) -> tuple[tuple[str, str], ...]:
    """Returns title and value of the first summary's measures over all its groups, as its sheet shows them.

    There are none where the definition has other summaries by now than the run.

    Raises:
        IntegrityError: what the summary was stored as is gone, or has changed, or is too large.
        StoreUnavailableError: the object store is away.
    """
    if not manifest.summaries or not has_summaries(definition, manifest):
        return ()
    summary, sheet = definition.summaries[0], small_summary_sheets(definition, manifest.summaries, store=store)[0]
    if not is_shown_whole(sheet):
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
