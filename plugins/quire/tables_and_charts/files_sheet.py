"""Builds the Files sheet, an index of the run's other files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from quire.record_types.stage_records import RenderedFile
from quire.xlsx.model import FactSection, FactSheet


def files_sheet(files: Sequence[RenderedFile]) -> FactSheet:
    """Returns the index of files, which lists each file's date range, first and last time, row count and size."""
    return FactSheet(
        sheet_name="Files",
        heading="Files",
        subheading="The rows are in these files. Download each file separately.",
        sections=(
            FactSection(
                heading="",
                header=("File", "First day", "Last day", "First row", "Last row", "Rows", "Size (kB)"),
                rows=tuple(
                    (
                        file.name,
                        file.start,
                        file.end,
                        _cell_value(file.earliest),
                        _cell_value(file.latest),
                        file.rows,
                        max(1, round(file.bytes / 1000)),
                    )
                    for file in files
                ),
            ),
        ),
    )


def _cell_value(text: str | None) -> date | None:
    """Returns the cell value for a date or time in ISO 8601, without the time's UTC offset."""
    if not text:
        return None
    if len(text) == len("2013-01-31"):
        return date.fromisoformat(text)
    return datetime.fromisoformat(text).replace(tzinfo=None)
