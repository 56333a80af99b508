"""Estimates a run's work, which determines whether the run fans out and how its tasks share the work."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quire.record_types.stage_records import QueryEstimate, SourceColumn
from quire.report.definition import ReportDefinition

# Measured on two idle cores with the 2013 flights (22 columns), which take 3.3 s to extract, summarize and render.
EXTRACT_SECONDS_PER_CELL = 0.12e-6
SUMMARY_SECONDS_PER_CELL = 0.05e-6
RENDER_SECONDS_PER_CELL = {"xlsx": 0.2e-6, "csv": 0.1e-6, "parquet": 0.06e-6}
SECONDS_PER_PARTITION = 0.015
SECONDS_PER_FILE = 0.02
SECONDS_PER_PARTIAL = 0.002  # a partition's partial summaries
SECONDS_PER_COST_UNIT = 4e-6  # PostgreSQL's cost unit: reading one page sequentially


def extract_seconds(columns: Sequence[SourceColumn], estimate: QueryEstimate, *, partitions: int) -> float:
    """Returns the estimated seconds for extracting partitions from the source.

    Args:
        columns: the report's query columns.
        estimate: the planner's estimate for the partitions.
        partitions: the number of partitions.
    """
    query = estimate.cost * SECONDS_PER_COST_UNIT
    return query + estimate.rows * len(columns) * EXTRACT_SECONDS_PER_CELL + partitions * SECONDS_PER_PARTITION


def output_seconds(
    definition: ReportDefinition,
    columns: Sequence[SourceColumn],
    *,
    rows: float,
    partitions: int,
    formats: Sequence[str],
) -> float:
    """Returns the estimated seconds for aggregating partitions and rendering their rows.

    Args:
        definition: the report.
        columns: the report's query columns.
        rows: the number of rows in all partitions.
        partitions: the total number of partitions.
        formats: the file formats.
    """
    split = definition.workbook.split
    files = partitions if split == "partition" else 1 if split == "none" else math.ceil(rows / split.rows)
    aggregate = rows * len(columns) * SUMMARY_SECONDS_PER_CELL + partitions * SECONDS_PER_PARTIAL
    render = render_seconds(definition, columns, rows=rows, files=files, formats=formats)
    return render + (aggregate if definition.summaries else 0.0)


def render_seconds(
    definition: ReportDefinition, columns: Sequence[SourceColumn], *, rows: float, files: int, formats: Sequence[str]
) -> float:
    """Returns the estimated seconds for rendering rows; 0 if the report has no detail rows.

    Args:
        definition: the report.
        columns: the report's query columns.
        rows: the number of rows.
        files: the number of files per format.
        formats: the file formats.
    """
    if not definition.workbook.detail:
        return 0.0
    cells = rows * len(definition.columns or columns)
    return sum(cells * RENDER_SECONDS_PER_CELL[name] + files * SECONDS_PER_FILE for name in formats)


def scale_estimate(estimate: QueryEstimate, *, days: int, total_days: int) -> QueryEstimate:
    """Scales an estimate down to ``days`` of its ``total_days``, assuming all days have the same number of rows."""
    share = days / total_days
    return QueryEstimate(rows=estimate.rows * share, cost=estimate.cost * share)
