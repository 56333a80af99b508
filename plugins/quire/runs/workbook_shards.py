"""Which rows go to which workbook of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from quire.records.stage_records import RowSlice, RunPlan, StagedPartition, WorkbookShard
from quire.report.definition import ReportDefinition, RowSplit
from quire.runs.file_names import partition_name, run_range_name


def workbook_shards(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]
) -> tuple[WorkbookShard, ...]:
    """Returns a run's workbooks in order; none where the report has no detail rows.

    Args:
        definition: the report.
        plan: of the run.
        staged: every partition of the run, in order.
    """
    return tuple(_shares(definition, plan, staged)) if definition.workbook.detail else ()


def combines_rows_and_summaries(definition: ReportDefinition) -> bool:
    """Whether a report has one workbook for rows and summaries, if it has any workbook."""
    return definition.workbook.detail and definition.workbook.split == "none"


def _shares(definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]) -> Iterator[WorkbookShard]:
    split = definition.workbook.split
    if split == "partition":
        for partition in staged:
            yield _share(f"{definition.name}_{partition_name(partition)}", [_whole(partition)], [partition])
    elif isinstance(split, RowSplit):
        shards = list(_row_shards(definition, staged, split.rows))
        yield from shards or [_whole_shard(definition, plan, staged)]
    else:
        yield _whole_shard(definition, plan, staged)


def _row_shards(definition: ReportDefinition, staged: Sequence[StagedPartition], most: int) -> Iterator[WorkbookShard]:
    """Cuts the rows, in order, into workbooks of ``most`` rows; the last may have fewer."""
    digits = len(str(math.ceil(sum(partition.rows for partition in staged) / most)))
    slices: list[RowSlice] = []
    covered: list[StagedPartition] = []
    number, room = 1, most
    for partition in staged:
        offset = 0
        while offset < partition.rows:
            taken = min(room, partition.rows - offset)
            slices.append(_slice(partition, offset, taken))
            covered.append(partition)
            offset, room = offset + taken, room - taken
            if not room:
                yield _share(f"{definition.name}_{number:0{digits}d}", slices, covered)
                slices, covered, number, room = [], [], number + 1, most
    if slices:
        yield _share(f"{definition.name}_{number:0{digits}d}", slices, covered)


def _whole_shard(definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]) -> WorkbookShard:
    days = plan.request
    return WorkbookShard(
        stem=f"{definition.name}_{run_range_name(days, staged)}",
        start=days.start,
        end=days.end,
        slices=tuple(_whole(partition) for partition in staged),
    )


def _share(stem: str, slices: Sequence[RowSlice], covered: Sequence[StagedPartition]) -> WorkbookShard:
    return WorkbookShard(stem=stem, start=covered[0].start, end=covered[-1].last_day, slices=tuple(slices))


def _whole(partition: StagedPartition) -> RowSlice:
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
