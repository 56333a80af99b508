"""Layout: which rows go to which workbook, and whether this very run is published already."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence

from quire.artifacts import RowSlice, RunLayout, RunPlan, StagedPartition, WorkbookShare
from quire.definition import ReportDefinition, RowSplit
from quire.errors import concerning
from quire.file_names import partition_name, range_name
from quire.object_store import ObjectStore
from quire.run_key import is_published, run_key_of

logger = logging.getLogger(__name__)

GROUPS = 64  # mapped tasks of one run: each costs Airflow 0.2 to 0.7 s


def layout_run(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition], *, store: ObjectStore
) -> RunLayout:
    """Returns the run's key and its workbooks, in at most 64 groups; no workbooks where it is published already.

    Args:
        definition: the report.
        plan: of the run.
        staged: every partition of the run, in order.
        store: where a manifest would be.

    Raises:
        StoreRefusedError, StoreUnavailableError: the object store cannot be asked.
    """
    run_key = run_key_of(definition, plan, staged)
    with concerning(report=definition.name):
        if is_published(store, definition.name, run_key):
            logger.info("%s: run %s is published already", definition.name, run_key)
            return RunLayout(run_key=run_key, reused=True, groups=())
    shares = workbook_shares(definition, plan, staged)
    size = max(1, math.ceil(len(shares) / GROUPS))
    groups = tuple(shares[first : first + size] for first in range(0, len(shares), size))
    logger.info("%s: run %s, %s workbooks in %s groups", definition.name, run_key, len(shares), len(groups))
    return RunLayout(run_key=run_key, reused=False, groups=groups)


def workbook_shares(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]
) -> tuple[WorkbookShare, ...]:
    """Returns a run's workbooks in order; none where the report has no detail rows.

    Args:
        definition: the report.
        plan: of the run.
        staged: every partition of the run, in order.
    """
    return tuple(_shares(definition, plan, staged)) if definition.workbook.detail else ()


def _shares(definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]) -> Iterator[WorkbookShare]:
    split = definition.workbook.split
    if split == "partition":
        for partition in staged:
            yield _share(f"{definition.name}_{partition_name(partition)}", [_whole(partition)], [partition])
    elif isinstance(split, RowSplit):
        shares = list(_row_shares(definition, staged, split.rows))
        yield from shares or [_whole_share(definition, plan, staged)]
    else:
        yield _whole_share(definition, plan, staged)


def _row_shares(definition: ReportDefinition, staged: Sequence[StagedPartition], most: int) -> Iterator[WorkbookShare]:
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


def _whole_share(definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition]) -> WorkbookShare:
    days = plan.request
    return WorkbookShare(
        stem=f"{definition.name}_{range_name(days, staged)}",
        start=days.start,
        end=days.end,
        slices=tuple(_whole(partition) for partition in staged),
    )


def _share(stem: str, slices: Sequence[RowSlice], covered: Sequence[StagedPartition]) -> WorkbookShare:
    return WorkbookShare(stem=stem, start=covered[0].start, end=covered[-1].last_day, slices=tuple(slices))


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
