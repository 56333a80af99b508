"""Plan: validates the query and divides the date range into partitions, without reading any rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from quire.aggregation.partial_summaries import needs_rows
from quire.aggregation.result_columns import validate_columns
from quire.errors import error_context
from quire.object_store import Store
from quire.partition_cache.cache import find_cached_partitions, partition_folder
from quire.partition_cache.freshness import ensure_changes_detectable, freshness_tokens, is_reusable
from quire.partition_cache.source_digest import read_source_digest
from quire.postgres import SourceSession, open_transaction
from quire.postgres.partition_query import estimate_query, query_columns
from quire.record_types.stage_records import PlannedRun, QueryEstimate, RunPlan, StagedPartition
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest
from quire.runs.task_groups import task_groups
from quire.runs.work_estimate import scale_estimate

logger = logging.getLogger(__name__)


def plan_partitions(
    definition: ReportDefinition, request: RunRequest, *, session: SourceSession, store: Store
) -> PlannedRun:
    """Divides the date range into partitions, finds cache hits, and puts the other partitions into at most 64 groups.

    Args:
        definition: the report.
        request: the validated request.
        session: the source.
        store: the store that holds cached partitions.

    Raises:
        DefinitionError: PostgreSQL rejects the query as written, or the query lacks a column that the definition
            references.
        NotTrackedError: the definition requires change tracking, but a table is not tracked.
        QueryError: PostgreSQL rejects the query.
        SourceUnavailableError: PostgreSQL cannot be reached.
        StoreRefusedError, StoreUnavailableError: the store cannot be read.
    """
    plan, tokens = read_plan(definition, request, session=session)
    with error_context(report=definition.name):
        cached = _find_cached(definition, plan.source_digest, tokens, store=store)
    cached_keys = {partition.key for partition in cached}
    partitions = request.date_range.partitions(definition.partition)
    groups = task_groups([partition for partition in partitions if partition.key not in cached_keys])
    logger.info(
        "%s: %s of %s partitions are cached; the rest are in %s groups; source %s",
        request.report, len(cached), len(partitions), len(groups), plan.source_digest,
    )  # fmt: skip
    return PlannedRun(plan=plan, cached=cached, groups=groups)


def read_plan(
    definition: ReportDefinition, request: RunRequest, *, session: SourceSession
) -> tuple[RunPlan, dict[str, str]]:
    """Returns the plan, and each partition's current freshness token by partition key, in order.

    There are no tokens if the run may not reuse partitions.

    Raises:
        DefinitionError, NotTrackedError, QueryError, SourceUnavailableError: see ``plan_partitions``.
    """
    partitions = request.date_range.partitions(definition.partition)
    with (
        error_context(report=definition.name),
        open_transaction(session, name=f"quire {definition.name} plan") as transaction,
    ):
        columns = query_columns(definition, request, partitions[0], transaction=transaction)
        validate_columns(definition, columns)
        source_digest = read_source_digest(definition, request, columns, transaction=transaction)
        tokens: dict[str, str] = {}
        if is_reusable(definition, request):
            tokens = freshness_tokens(definition, request, partitions, columns=columns, transaction=transaction)
        else:
            ensure_changes_detectable(definition, partitions[0], transaction=transaction)
    return RunPlan(request=request, source_digest=source_digest, columns=columns), tokens


def estimate_uncached(definition: ReportDefinition, planned: PlannedRun, *, session: SourceSession) -> QueryEstimate:
    """Returns the PostgreSQL planner's estimate for the partitions to extract.

    The planner estimates the entire date range in a separate transaction; every day counts equally.

    Raises:
        QueryError: PostgreSQL rejects the query over the entire range.
        SourceUnavailableError: PostgreSQL cannot be reached.
    """
    days = sum(partition.day_count for group in planned.groups for partition in group)
    if not days:
        return QueryEstimate()
    request = planned.plan.request
    with (
        error_context(report=definition.name),
        open_transaction(session, name=f"quire {definition.name} estimate") as transaction,
    ):
        estimate = estimate_query(definition, request, transaction=transaction)
    return scale_estimate(estimate, days=days, total_days=request.date_range.day_count)


def _find_cached(
    definition: ReportDefinition, source_digest: str, tokens: Mapping[str, str], *, store: Store
) -> tuple[StagedPartition, ...]:
    """Returns the cached partitions that have current freshness tokens."""
    folders = [
        partition_folder(definition.name, source_digest=source_digest, key=key, token=token)
        for key, token in tokens.items()
    ]
    cached = find_cached_partitions(store, folders, with_rows=needs_rows(definition))
    return tuple(replace(partition, cache_hit=True) for partition in cached if partition)
