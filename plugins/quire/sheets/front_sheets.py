"""What a workbook says beside its rows: the sheet About, the summaries, the index of files."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from quire.date_range import Grain, zone
from quire.formatting import format_parameter
from quire.object_store import Store
from quire.records.stage_records import RenderedFile, RowSlice, RunPlan, StagedPartition, StagedSummary
from quire.report.definition import GroupKey, ReportDefinition, Summary
from quire.report.request import RunRequest
from quire.xlsx.model import Chart, FactSection, FactSheet, SheetColumn, TableSheet

PERIOD_FORMATS = {Grain.MONTH: "mmm yyyy", Grain.YEAR: "yyyy"}  # the others are told by their first day
DAY_FORMAT = "yyyy-mm-dd"

# true of every workbook: what cells cannot keep of a value, whatever it is
UNCHANGED = "Nothing was cut. Times are kept to the millisecond; numbers of more than 15 digits are texts."


def detail_columns(definition: ReportDefinition, plan: RunPlan) -> tuple[SheetColumn, ...]:
    """Returns the dress of the rows' columns: the definition's, or else all of the query's as they come."""
    unscaled = {column.name for column in plan.columns if _has_no_scale(column.pg_type)}
    if not definition.columns:
        return tuple(
            SheetColumn(
                name=column.name, title=definition.column_title(column.name), numeric_text=column.name in unscaled
            )
            for column in plan.columns
        )
    return tuple(
        SheetColumn(
            name=column.name,
            title=column.title,
            width=column.width,
            number_format=column.format,
            total=column.total,
            numeric_text=column.name in unscaled,
        )
        for column in definition.columns
    )


def about_sheet(
    definition: ReportDefinition,
    request: RunRequest,
    *,
    staged: Sequence[StagedPartition],
    rows: Mapping[str, int] | None = None,
    contents: Mapping[str, object],
    notes: Sequence[str],
) -> FactSheet:
    """Returns the sheet About: what this is, of which days, from what, and what could not be kept.

    Args:
        definition: the report.
        request: what was asked for.
        staged: the run's partitions.
        rows: how many rows of which partitions are in this workbook, where it is not all of them.
        contents: what the workbook holds, label and value.
        notes: sentences on what was cut or left out.
    """
    made_at = datetime.fromisoformat(request.made_at).astimezone(zone(definition.timezone))
    sections = [
        FactSection(
            heading="The report",
            rows=(
                ("First day", request.start),
                ("Last day", request.end),
                ("Time zone", f"{definition.timezone} (every date and time in this workbook)"),
                *((definition.parameters[name].title, _fact(value)) for name, value in request.parameters.items()),
                *contents.items(),
            ),
        ),
        FactSection(
            heading="How it was made",
            rows=(
                ("Made at", made_at.strftime("%Y-%m-%d %H:%M:%S %Z")),
                ("Query", f"sql/{definition.source.sql}"),
                ("Tables", ", ".join(table.name for table in definition.source.tables) or "not named"),
                ("Report's name", definition.name),
            ),
        ),
        FactSection(
            heading="Left out or changed",
            rows=tuple((note,) for note in notes) or ((UNCHANGED,),),
        ),
        FactSection(
            heading="Rows",
            header=("Part", "First day", "Last day", "Rows"),
            rows=tuple(
                (part.key, part.start, part.last_day, part.rows if rows is None else rows[part.key])
                for part in staged
                if rows is None or part.key in rows
            ),
        ),
    ]
    return FactSheet(
        sheet_name="About", heading=definition.title, subheading=definition.description, sections=tuple(sections)
    )


def rows_by_partition(slices: Sequence[RowSlice], *, skipped: int, rows: int) -> dict[str, int]:
    """Returns how many of ``rows`` rows are of which partition, after ``skipped`` rows of the slices.

    A partition without rows is told where its place is: before the next row, or at the end of the last.
    """
    found: dict[str, int] = {}
    end, total = skipped + rows, sum(part.rows for part in slices)
    first = 0
    for part in slices:
        last = first + part.rows
        inside = min(end, last) - max(skipped, first)
        if inside > 0:
            found[part.partition] = found.get(part.partition, 0) + inside
        elif not part.rows and skipped <= first and (first < end or end == total):
            found.setdefault(part.partition, 0)
        first = last
    return found


def files_sheet(files: Sequence[RenderedFile]) -> FactSheet:
    """Returns the index: every file with its days, its first and last row, and its size."""
    return FactSheet(
        sheet_name="Files",
        heading="Files",
        subheading="The rows are in these files, which are downloaded one by one.",
        sections=(
            FactSection(
                heading="",
                header=("File", "First day", "Last day", "First row", "Last row", "Rows", "Size (kB)"),
                rows=tuple(
                    (
                        file.name,
                        file.start,
                        file.end,
                        _wall_clock(file.earliest),
                        _wall_clock(file.latest),
                        file.rows,
                        max(1, round(file.bytes / 1000)),
                    )
                    for file in files
                ),
            ),
        ),
    )


def summary_sheets(
    definition: ReportDefinition,
    summaries: Sequence[StagedSummary],
    *,
    store: Store,
    ensure: Callable[[bytes, str], None] = lambda body, key: None,
) -> tuple[TableSheet, ...]:
    """Returns a sheet for each summary, with its chart.

    Args:
        definition: the report.
        summaries: of the run.
        store: where they are.
        ensure: checks the stored bytes of a summary, before they are read as a table.

    Raises:
        DamagedObjectError: a summary is no longer stored, or damaged.
    """
    stored = {staged.name: staged for staged in summaries}
    return tuple(
        summary_sheet(definition, summary, _read_table(store, stored[summary.name], ensure))
        for summary in definition.summaries
    )


def summary_sheet(definition: ReportDefinition, summary: Summary, table: pa.Table) -> TableSheet:
    """Returns the sheet of one summary, with its chart.

    Args:
        definition: the report.
        summary: of the definition.
        table: its rows.
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
    """Returns the schema of a sheet's table: that of the stored rows, without large strings."""
    fields = [(field.name, pa.string() if pa.types.is_large_string(field.type) else field.type) for field in stored]
    return pa.schema(fields)


def _has_no_scale(pg_type: str) -> bool:
    from quire.postgres.arrow_types import numeric_scale

    return pg_type.startswith("numeric") and numeric_scale(pg_type) is None


def _wall_clock(text: str | None) -> date | None:
    """Returns a time of the rows as a cell takes it: in the report's time zone, without naming it."""
    if not text:
        return None
    if len(text) == len("2013-01-31"):
        return date.fromisoformat(text)
    return datetime.fromisoformat(text).replace(tzinfo=None)


def _fact(value: object) -> object:
    """Returns a parameter's value for a cell: numbers and dates stay what they are."""
    is_cell_value = isinstance(value, int | float | date) and not isinstance(value, bool)
    return value if is_cell_value else format_parameter(value)
