"""Builds the About sheet, which describes the request, the source, and any changed or omitted values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from quire.date_range import zone
from quire.human_readable import format_parameter
from quire.record_types.stage_records import RowSlice, StagedPartition
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest
from quire.xlsx.model import FactSection, FactSheet

# The sheet shows these limits, which apply to every workbook, if there are no notes.
UNCHANGED = (
    "No values were truncated. Times are precise to the millisecond; "
    "numbers with more than 15 digits are written as text."
)


def about_sheet(
    definition: ReportDefinition,
    request: RunRequest,
    *,
    dates: tuple[date, date],
    created: bool,
    staged: Sequence[StagedPartition],
    rows: Mapping[str, int] | None = None,
    contents: Mapping[str, object],
    notes: Sequence[str],
) -> FactSheet:
    """Returns a workbook's About sheet.

    Args:
        definition: the report.
        request: the run request.
        dates: the first and last day that the workbook covers.
        created: whether to show when the run was requested; False if several runs share the workbook.
        staged: the run's partitions.
        rows: the number of this workbook's rows in each partition; None if it contains every row.
        contents: more facts about the workbook, by label.
        notes: sentences about truncated, changed or omitted values.
    """
    parts = [part for part in staged if rows is None or part.key in rows]
    periods = ((part.key, part.start, part.last_day, part.rows if rows is None else rows[part.key]) for part in parts)
    return FactSheet(
        sheet_name="About",
        heading=definition.title,
        subheading=definition.description,
        sections=(
            _report_section(definition, request, dates=dates, contents=contents),
            _source_section(definition, parts, made_at=request.made_at if created else None),
            FactSection(heading="Changed or omitted values", rows=tuple((note,) for note in notes) or ((UNCHANGED,),)),
            FactSection(
                heading="Rows by period", header=("Period", "First day", "Last day", "Rows"), rows=tuple(periods)
            ),
        ),
    )


def _report_section(
    definition: ReportDefinition, request: RunRequest, *, dates: tuple[date, date], contents: Mapping[str, object]
) -> FactSection:
    return FactSection(
        heading="Report",
        rows=(
            ("First day", dates[0]),
            ("Last day", dates[1]),
            ("Time zone", f"{definition.timezone} (all dates and times in this workbook)"),
            *((definition.parameters[name].title, _fact(value)) for name, value in request.parameters.items()),
            *contents.items(),
        ),
    )


def _source_section(
    definition: ReportDefinition, parts: Sequence[StagedPartition], *, made_at: str | None
) -> FactSection:
    """Returns the section about the rows' source; ``made_at`` is when the run was requested, or None to omit it."""
    return FactSection(
        heading="Source",
        rows=(
            *((("Created", _local_time(made_at, definition.timezone)),) if made_at else ()),
            *(("Rows read", times) for times in _reading_times(parts, definition.timezone)),
            ("Query", f"sql/{definition.source.sql}"),
            ("Tables", ", ".join(table.name for table in definition.source.tables) or "not declared"),
            ("Report name", definition.name),
        ),
    )


def rows_by_partition(slices: Sequence[RowSlice], *, skipped: int, rows: int) -> dict[str, int]:
    """Skips the first ``skipped`` rows, and returns how many of the next ``rows`` rows belong to each partition.

    An empty partition is included if its position is among those rows.
    """
    counts: dict[str, int] = {}
    end, total = skipped + rows, sum(part.rows for part in slices)
    first = 0
    for part in slices:
        last = first + part.rows
        inside = min(end, last) - max(skipped, first)
        if inside > 0:
            counts[part.partition] = counts.get(part.partition, 0) + inside
        elif not part.rows and skipped <= first and (first < end or end == total):
            counts.setdefault(part.partition, 0)
        first = last
    return counts


def _reading_times(partitions: Sequence[StagedPartition], timezone: str) -> tuple[str, ...]:
    """Returns when the rows were read, as one time or a range; nothing if an earlier version read all of the rows."""
    snapshots = sorted({part.snapshot_at for part in partitions} - {""})
    times = dict.fromkeys(_local_time(snapshot, timezone) for snapshot in (*snapshots[:1], *snapshots[-1:]))
    return (" to ".join(times),) if times else ()


def _local_time(instant: str, timezone: str) -> str:
    return datetime.fromisoformat(instant).astimezone(zone(timezone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def _fact(value: object) -> object:
    """Returns a parameter's cell value; numbers and dates are not converted to text."""
    is_cell_value = isinstance(value, int | float | date) and not isinstance(value, bool)
    return value if is_cell_value else format_parameter(value)
