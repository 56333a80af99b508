"""Assigns a run's rows to its workbooks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from quire.record_types.stage_records import RowSlice, RunPlan, StagedPartition, WorkbookShard
from quire.report.definition import ReportDefinition, RowSplit
from quire.runs.file_names import partition_name, run_range_name


def workbook_shards(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]
) -> tuple[WorkbookShard, ...]:
    """Returns a run's shards in order; a report without detail rows has no shards.

    Args:
        definition: the report.
        plan: the run's plan.
        staged: all of the run's partitions, in order.
    """
    return tuple(_shards(definition, plan, staged)) if definition.workbook.detail else ()


def combines_rows_and_summaries(definition: ReportDefinition) -> bool:
    """Returns whether a run writes its rows and summaries to the same workbook, if it writes workbooks at all."""
    return definition.workbook.detail and definition.workbook.split == "none"


def _shards(definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]) -> Iterator[WorkbookShard]:
    split = definition.workbook.split
    if split == "partition":
        for partition in staged:
            yield _shard(f"{definition.name}_{partition_name(partition)}", [_full_slice(partition)], [partition])
    elif isinstance(split, RowSplit):
        shards = list(_row_shards(definition, staged, split.rows))
        yield from shards or [_single_shard(definition, plan, staged)]
    else:
        yield _single_shard(definition, plan, staged)


def _row_shards(
    definition: ReportDefinition, staged: Sequence[StagedPartition], max_rows: int
) -> Iterator[WorkbookShard]:
    """Splits the rows, in order, into workbooks of ``max_rows`` rows; the last workbook may have fewer rows."""
    digits = len(str(math.ceil(sum(partition.rows for partition in staged) / max_rows)))
    slices: list[RowSlice] = []
    covered: list[StagedPartition] = []
    number, capacity = 1, max_rows
    for partition in staged:
        offset = 0
        while offset < partition.rows:
            count = min(capacity, partition.rows - offset)
            slices.append(_slice(partition, offset, count))
            covered.append(partition)
            offset, capacity = offset + count, capacity - count
            if not capacity:
                yield _shard(f"{definition.name}_{number:0{digits}d}", slices, covered)
                slices, covered, number, capacity = [], [], number + 1, max_rows
    if slices:
        yield _shard(f"{definition.name}_{number:0{digits}d}", slices, covered)


def _single_shard(definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]) -> WorkbookShard:
    request = plan.request
    return WorkbookShard(
        stem=f"{definition.name}_{run_range_name(request, staged)}",
        start=request.start,
        end=request.end,
        slices=tuple(_full_slice(partition) for partition in staged),
    )


def _shard(stem: str, slices: Sequence[RowSlice], covered: Sequence[StagedPartition]) -> WorkbookShard:
    return WorkbookShard(stem=stem, start=covered[0].start, end=covered[-1].last_day, slices=tuple(slices))


def _full_slice(partition: StagedPartition) -> RowSlice:
    return _slice(partition, 0, partition.rows)


def _slice(partition: StagedPartition, offset: int, rows: int) -> RowSlice:
    return RowSlice(
        partition=partition.key,
        object_key=partition.object_key,
        bytes=partition.bytes,
        checksums=partition.checksums,
        offset=offset,
        rows=rows,
    )
