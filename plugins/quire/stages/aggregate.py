"""Aggregate: computes a run's summaries."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import polars as pl

from quire.aggregation.measures import finish_groups, merge_groups, partial_schema, summarize
from quire.aggregation.parquet_scan import collect_all, scan_rows
from quire.aggregation.partial_summaries import mergeable_summaries, put_frame, read_partials
from quire.errors import error_context
from quire.object_store import Store
from quire.partition_cache.freshness import is_reusable
from quire.record_types.stage_records import RunPlan, StagedPartition, StagedSummary
from quire.report.definition import ReportDefinition, Summary

logger = logging.getLogger(__name__)


def aggregate_summaries(
    definition: ReportDefinition, plan: RunPlan, partitions: Sequence[StagedPartition], *, store: Store
) -> tuple[StagedSummary, ...]:
    """Stores each of the definition's summaries as a small Parquet object.

    If partitions are reusable, mergeable summaries are merged from each partition's partial summaries. Other summaries,
    such as medians, are computed from the rows.

    Args:
        definition: the report.
        plan: the run's plan.
        partitions: all of the run's partitions, in order.
        store: the store that holds the rows and receives the summaries.

    Raises:
        DamagedObjectError: a partition's rows are missing or damaged; the partition is now a cache miss.
        QueryError: a value cannot be summed, such as NaN in a ``numeric`` without a scale.
        StoreRefusedError, StoreUnavailableError: the rows cannot be read, or the summaries cannot be stored.
    """
    with error_context(report=definition.name):
        began = time.monotonic()
        merged = _merge_partials(definition, plan, partitions, store=store)
        rows = scan_rows(plan.columns, partitions, store)
        queries = {
            summary.name: merged[summary.name]
            if summary.name in merged
            else summarize(rows, summary, plan.columns, timezone=definition.timezone)
            for summary in definition.summaries
        }
        summaries = tuple(
            put_frame(
                collect_all([query], what=f"summary {name}")[0],
                name,
                folder=f"summaries/{definition.name}/{plan.source_digest}",
                store=store,
            )
            for name, query in queries.items()
        )
        logger.info(
            "%s: %s summaries, %s of them merged from partial summaries, in %.1f s",
            definition.name, len(summaries), len(merged), time.monotonic() - began,
        )  # fmt: skip
        return summaries


def _merge_partials(
    definition: ReportDefinition, plan: RunPlan, partitions: Sequence[StagedPartition], *, store: Store
) -> dict[str, pl.LazyFrame]:
    """Returns, for each mergeable summary, a query that merges every partition's partial summaries.

    Returns an empty dictionary if partitions are not reusable.
    """
    if not is_reusable(definition, plan.request):
        return {}
    partials = read_partials(definition, plan, partitions, store=store)

    def query(summary: Summary, position: int) -> pl.LazyFrame:
        empty = pl.DataFrame(schema=partial_schema(summary, plan.columns, timezone=definition.timezone))
        parts = pl.concat([empty, *(frames[position] for frames in partials)])
        return finish_groups(merge_groups(parts.lazy(), summary), summary)

    return {summary.name: query(summary, position) for position, summary in enumerate(mergeable_summaries(definition))}
