"""Aggregate: the summaries, by lazy queries over the Parquet objects where they lie."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import polars as pl

from quire.errors import error_context
from quire.object_store import Store
from quire.partitions.freshness import is_reusable
from quire.records.stage_records import RunPlan, StagedPartition, StagedSummary
from quire.report.definition import ReportDefinition, Summary
from quire.runs.run_key import compute_run_key, is_run_published
from quire.summaries.measures import finish_groups, merge_groups, partial_groups, summarize
from quire.summaries.parquet_scan import collect_all, scan_rows
from quire.summaries.partial_summaries import merged_summaries, put_frame, read_partials

logger = logging.getLogger(__name__)


def aggregate_summaries(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition], *, store: Store
) -> tuple[StagedSummary, ...]:
    """Stores each summary of the definition as one small Parquet object; none where the run is published already.

    Where rows outlive the run, summaries that can be merged are made of what was calculated once for each partition;
    the others, such as those with a median, of the rows.

    Args:
        definition: the report.
        plan: of the run.
        staged: every partition of the run, in order.
        store: where the rows are, and the summaries go.

    Raises:
        DamagedObjectError: rows are missing or damaged; their partition is a cache miss now.
        QueryError: a value cannot be summed, such as NaN in a ``numeric`` without scale.
        StoreRefusedError, StoreUnavailableError: rows could not be read, or summaries not be stored.
    """
    with error_context(report=definition.name):
        if is_run_published(store, definition.name, compute_run_key(definition, plan, staged)):
            return ()
        began = time.monotonic()
        merged = _merged(definition, plan, staged, store=store)
        rows = scan_rows(plan.columns, staged, store)
        queries = {
            summary.name: merged[summary.name]
            if summary.name in merged
            else summarize(rows, summary, plan.columns, timezone=definition.timezone)
            for summary in definition.summaries
        }
        found = [
            put_frame(
                collect_all([query], what=f"summary {name}")[0],
                name,
                folder=f"summaries/{definition.name}/{plan.source_digest}",
                store=store,
            )
            for name, query in queries.items()
        ]
        logger.info(
            "%s: %s summaries, %s of them from stored parts, in %.1f s",
            definition.name, len(found), len(merged), time.monotonic() - began,
        )  # fmt: skip
        return tuple(found)


def _merged(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition], *, store: Store
) -> dict[str, pl.LazyFrame]:
    """Returns the queries over what is kept of each partition, by summary; none where nothing outlives the run."""
    if not is_reusable(definition, plan.request):
        return {}
    partials = read_partials(definition, plan, staged, store=store)
    nothing = scan_rows(plan.columns, [], store)

    def query(summary: Summary, position: int) -> pl.LazyFrame:
        empty = partial_groups(nothing, summary, plan.columns, timezone=definition.timezone).collect_schema()
        parts = pl.concat([pl.DataFrame(schema=empty), *(frames[position] for frames in partials)])
        return finish_groups(merge_groups(parts.lazy(), summary), summary)

    return {summary.name: query(summary, position) for position, summary in enumerate(merged_summaries(definition))}
