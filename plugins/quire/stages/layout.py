"""Layout: checks whether a run is already published, assigns its rows to workbooks, and finds cached workbooks."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from quire.errors import error_context
from quire.object_store import Store
from quire.record_types.stage_records import (
    LaidOutRun,
    RenderedFile,
    RunLayout,
    RunPlan,
    StagedPartition,
    StagedRun,
    WorkbookShard,
)
from quire.report.definition import ReportDefinition
from quire.runs.run_key import compute_run_key, is_run_published
from quire.runs.task_groups import task_groups
from quire.runs.workbook_cache import divide_shards
from quire.runs.workbook_shards import combines_rows_and_summaries, workbook_shards

logger = logging.getLogger(__name__)


def layout_run(
    definition: ReportDefinition, plan: RunPlan, partitions: Sequence[StagedPartition], *, store: Store
) -> LaidOutRun:
    """Returns the staged run, and its uncached workbooks divided into at most 64 groups.

    No other function decides whether aggregate and render have work to do.

    Args:
        definition: the report.
        plan: the run's plan.
        partitions: all of the run's partitions, in order.
        store: the store that holds the manifest if the run is already published, and the cached workbooks.

    Raises:
        StoreRefusedError, StoreUnavailableError: the store cannot be read.
    """
    run_key = compute_run_key(definition, plan, {part.key: part.freshness_token for part in partitions})
    formats = definition.file_formats(plan.request.formats)
    shards: tuple[WorkbookShard, ...] = ()
    uncached: tuple[WorkbookShard, ...] = ()
    cached: tuple[RenderedFile, ...] = ()
    with error_context(report=definition.name):
        already_published = is_run_published(store, definition.name, run_key)
        if not already_published:
            shards = workbook_shards(definition, plan, partitions)
            uncached, cached = divide_shards(definition, plan, partitions, shards=shards, store=store)
    layout = RunLayout(
        run_key=run_key,
        already_published=already_published,
        file_names=tuple(f"{shard.stem}.{file_format}" for shard in shards for file_format in formats),
        cached_files=cached,
        summaries_with_rows=combines_rows_and_summaries(definition) and "xlsx" in formats,
    )
    groups = task_groups(uncached)
    if already_published:
        logger.info("%s: run %s is already published", definition.name, run_key)
    else:
        logger.info(
            "%s: run %s, %s workbooks, of which %s are cached; the other workbooks are in %s groups",
            definition.name, run_key, len(shards), len(shards) - len(uncached), len(groups),
        )  # fmt: skip
    return LaidOutRun(run=StagedRun(plan=plan, partitions=tuple(partitions), layout=layout), groups=groups)
