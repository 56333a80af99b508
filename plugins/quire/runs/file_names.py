"""Names a run's files by report, date range and content."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from quire.report.request import RunRequest
from quire.run_records.stage_records import RenderedFile, StagedPartition

LEGACY_SUMMARY_FILE = "summary.xlsx"  # in runs that were published before file names included the report and date range


def range_name(start: date, end: date) -> str:
    """Formats an inclusive date range for a file name; a range of one day contains its date only once."""
    return start.isoformat() if start == end else f"{start}_{end}"


def partition_name(partition: StagedPartition) -> str:
    """Formats a partition for a file name: the period's name, or its first and last day if the range truncates it."""
    is_one_day = partition.start == partition.last_day
    return partition.start.isoformat() if is_one_day else partition.key


def run_range_name(request: RunRequest, partitions: Sequence[StagedPartition]) -> str:
    """Formats a run's date range for a file name: the name of its only partition, or its first and last day."""
    return partition_name(partitions[0]) if len(partitions) == 1 else range_name(request.start, request.end)


def summary_file_name(request: RunRequest, partitions: Sequence[StagedPartition]) -> str:
    """Returns the name of the workbook with a run's summaries and the index of its files."""
    return f"{request.report}_{run_range_name(request, partitions)}_summary.xlsx"


def is_summary(file: RenderedFile) -> bool:
    """Returns whether a file is the summary workbook, which contains no detail rows."""
    return file.summaries_only or file.name == LEGACY_SUMMARY_FILE
