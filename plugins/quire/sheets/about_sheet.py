"""The About sheet: the request, its source, and which values the workbook changed or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from quire.date_range import zone
from quire.formatting import format_parameter
from quire.records.stage_records import RowSlice, StagedPartition
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest
from quire.xlsx.model import FactSection, FactSheet

# true of every workbook: what cells cannot keep of a value, whatever it is
UNCHANGED = "Nothing was cut. Times are kept to the millisecond; numbers of more than 15 digits are texts."


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


def _fact(value: object) -> object:
    """Returns a parameter's value for a cell: numbers and dates stay what they are."""
    is_cell_value = isinstance(value, int | float | date) and not isinstance(value, bool)
    return value if is_cell_value else format_parameter(value)
