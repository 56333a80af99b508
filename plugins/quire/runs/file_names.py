"""The names of a run's files: the report, what the file covers, and what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from quire.records.stage_records import RenderedFile, StagedPartition
from quire.report.request import RunRequest

LEGACY_SUMMARY_FILE = "summary.xlsx"  # of runs published before the name had report and range


def range_name(start: date, end: date) -> str:
    """Returns an inclusive date range as part of a file name; a single day is written once."""
    return start.isoformat() if start == end else f"{start}_{end}"


def partition_name(partition: StagedPartition) -> str:
    """Returns a partition as part of a file name: the period's own name, or its days where the range clipped it."""
    is_one_day = partition.start == partition.last_day
    return partition.start.isoformat() if is_one_day else partition.key


def run_range_name(request: RunRequest, partitions: Sequence[StagedPartition]) -> str:
    """Returns a run's date range as part of a file name: that of its only partition, or first and last day."""
    return partition_name(partitions[0]) if len(partitions) == 1 else range_name(request.start, request.end)


def summary_file_name(request: RunRequest, partitions: Sequence[StagedPartition]) -> str:
    """Returns the name of the workbook that holds a run's summaries and the index of its files."""
    return f"{request.report}_{run_range_name(request, partitions)}_summary.xlsx"


def is_summary(file: RenderedFile) -> bool:
    """Returns whether a file is the summaries' workbook, whose rows are not the report's."""
    return file.summaries_only or file.name == LEGACY_SUMMARY_FILE
