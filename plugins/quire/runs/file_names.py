"""Names a run's files after the report, the date range and the contents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from quire.record_types.stage_records import RenderedFile, StagedPartition
from quire.report.request import RunRequest

LEGACY_SUMMARY_FILE = "summary.xlsx"  # in old runs, whose file names do not include the report and the date range


def range_name(start: date, end: date) -> str:
    """Formats an inclusive date range for a file name; if the range is one day, its date appears only once."""
    return start.isoformat() if start == end else f"{start}_{end}"


def partition_name(partition: StagedPartition) -> str:
    """Returns how file names identify a partition: by its date if it covers one day, otherwise by its key."""
    is_one_day = partition.start == partition.last_day
    return partition.start.isoformat() if is_one_day else partition.key


def run_range_name(request: RunRequest, partitions: Sequence[StagedPartition]) -> str:
    """Returns a run's date range in file names: the name of its only partition, or its first and last days."""
    return partition_name(partitions[0]) if len(partitions) == 1 else range_name(request.start, request.end)


def summary_file_name(request: RunRequest, partitions: Sequence[StagedPartition]) -> str:
    """Returns the name of the workbook that contains a run's summaries and an index of its files."""
    return f"{request.report}_{run_range_name(request, partitions)}_summary.xlsx"


def is_summary(file: RenderedFile) -> bool:
    """Returns whether a file is the summary workbook, which contains no detail rows."""
    return file.summaries_only or file.name == LEGACY_SUMMARY_FILE
