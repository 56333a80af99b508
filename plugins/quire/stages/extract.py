"""Extract: streams each partition's rows from PostgreSQL into a Parquet object."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import pyarrow as pa

from quire.aggregation.partial_summaries import ensure_partials, mergeable_summaries, store_partials
from quire.allocator_settings import map_large_blocks
from quire.csv_and_parquet.row_groups import cut_row_groups, write_row_groups
from quire.date_range import DatePartition
from quire.errors import IntegrityError, QueryError, error_context
from quire.object_store import Store, Upload
from quire.object_store.commit_records import commit_once
from quire.partition_cache.cache import find_cached_partition, partition_folder
from quire.partition_cache.damaged_objects import retry_on_damage
from quire.partition_cache.freshness import ensure_consistent_read, freshness_token_reader, is_reusable
from quire.partition_cache.row_check import RowCheck
from quire.partition_cache.source_digest import read_source_digest
from quire.postgres import SourceSession, SourceTransaction, open_transaction
from quire.postgres.arrow_types import storage_schema
from quire.postgres.partition_query import bound_query
from quire.record_types.stage_records import RunPlan, SourceColumn, StagedPartition
from quire.report.definition import ReportDefinition

if TYPE_CHECKING:
    from quire.aggregation.partial_builder import PartialSummaryBuilder

logger = logging.getLogger(__name__)

MAX_SNAPSHOT_SECONDS = 10.0  # then a new snapshot is opened, because an old snapshot holds back VACUUM


def extract_partitions(
    definition: ReportDefinition,
    plan: RunPlan,
    group: Sequence[DatePartition],
    *,
    session: SourceSession,
    store: Store,
    max_snapshot_seconds: float = MAX_SNAPSHOT_SECONDS,
) -> tuple[StagedPartition, ...]:
    """Stores each partition's rows for a group of partitions, unless the same rows are already stored.

    A partition's freshness token and rows are read in the same snapshot. Several partitions share a snapshot until it
    is too old, so their tokens can be read in batches. Partial summaries are computed while the rows stream.

    If two writers store the same partition, the first to commit wins. The loser deletes its own rows and adopts the
    winner's rows.

    Args:
        definition: the report.
        plan: the run's plan.
        group: the partitions to extract, in order.
        session: the source.
        store: the store that receives the rows.
        max_snapshot_seconds: the age above which a snapshot is too old.

    Raises:
        IntegrityError: the run was planned for a different source or different parameters.
        MisplacedRowsError: the query returns rows outside their partition, or rows whose time is NULL.
        NotTrackedError: the definition requires change tracking, but a table is not tracked.
        QueryError: PostgreSQL rejects the query, the query times out, or its columns have changed since the run was
            planned.
        SourceUnavailableError: PostgreSQL cannot be reached.
        StoreRefusedError, StoreUnavailableError: the store rejects the request or cannot be reached.
    """
    map_large_blocks()

    def extract() -> tuple[StagedPartition, ...]:
        staged = list[StagedPartition]()
        while remaining := group[len(staged) :]:
            with error_context(report=definition.name, partition=remaining[0].key):
                staged += _extract_from_snapshot(
                    definition, plan, remaining, session=session, store=store, max_seconds=max_snapshot_seconds
                )
        with error_context(report=definition.name):  # another run or attempt stored these partitions
            ensure_partials(definition, plan, [part for part in staged if part.cache_hit], store=store)
        return tuple(staged)

    return retry_on_damage(extract)


def _extract_from_snapshot(
    definition: ReportDefinition,
    plan: RunPlan,
    group: Sequence[DatePartition],
    *,
    session: SourceSession,
    store: Store,
    max_seconds: float,
) -> list[StagedPartition]:
    """Extracts at least one of a group's partitions, and stops when the snapshot is too old."""
    began = time.monotonic()
    staged = list[StagedPartition]()
    with open_transaction(session, name=_name(definition, group[0])) as transaction:
        _ensure_planned_source(definition, plan, transaction=transaction)
        token_of = freshness_token_reader(
            definition, plan.request, group, columns=plan.columns, transaction=transaction
        )
        for partition in group:
            if staged and time.monotonic() - began > max_seconds:
                break
            with error_context(report=definition.name, partition=partition.key):
                if staged:
                    transaction.rename(_name(definition, partition))
                token = token_of(partition)
                staged.append(
                    _extract_partition(definition, plan, partition, token=token, transaction=transaction, store=store)
                )
    return staged


def _name(definition: ReportDefinition, partition: DatePartition) -> str:
    return f"quire {definition.name} {partition.key}"


def _extract_partition(
    definition: ReportDefinition,
    plan: RunPlan,
    partition: DatePartition,
    *,
    token: str,
    transaction: SourceTransaction,
    store: Store,
) -> StagedPartition:
    began = time.monotonic()
    folder = partition_folder(definition.name, source_digest=plan.source_digest, key=partition.key, token=token)
    if cached := find_cached_partition(store, folder):
        logger.info("%s %s: %s rows are already stored", definition.name, partition.key, cached.rows)
        return replace(cached, cache_hit=is_reusable(definition, plan.request))
    snapshot_at = transaction.began_at()
    builder = _partial_builder(definition, plan, partition)
    key = f"{folder}/{uuid.uuid4().hex}.parquet"
    with store.open_upload(key) as upload:
        row_check = _write_rows(definition, plan, partition, transaction=transaction, builder=builder, sink=upload)
        ensure_consistent_read(definition, transaction=transaction)
    staged = StagedPartition(
        key=partition.key,
        start=partition.start,
        stop=partition.stop,
        object_key=key,
        rows=row_check.rows,
        bytes=upload.bytes,
        sha256=upload.sha256,
        checksums=upload.checksums,
        freshness_token=token,
        snapshot_at=snapshot_at,
        reusable=is_reusable(definition, plan.request),
        statistics=row_check.statistics(),
    )
    record = f"{folder}.json"
    if winner := commit_once(store, record, staged, objects=[key], find=lambda: find_cached_partition(store, folder)):
        logger.info("%s %s: another writer committed first", definition.name, partition.key)
        return replace(winner, cache_hit=is_reusable(definition, plan.request))
    if builder and staged.rows:
        store_partials(definition, staged, builder.frames(), store=store)
    logger.info(
        "%s %s: %s rows, %s bytes in %.1f s",
        definition.name, partition.key, row_check.rows, upload.bytes, time.monotonic() - began,
    )  # fmt: skip
    return staged


def _partial_builder(
    definition: ReportDefinition, plan: RunPlan, partition: DatePartition
) -> PartialSummaryBuilder | None:
    """Returns a builder for a partition's partial summaries, or None if no other run can use them."""
    summaries = mergeable_summaries(definition)
    if not summaries or not is_reusable(definition, plan.request):
        return None
    from quire.aggregation.partial_builder import PartialSummaryBuilder

    return PartialSummaryBuilder(summaries, plan.columns, timezone=definition.timezone, partition=partition.key)


def _write_rows(
    definition: ReportDefinition,
    plan: RunPlan,
    partition: DatePartition,
    *,
    transaction: SourceTransaction,
    builder: PartialSummaryBuilder | None,
    sink: Upload,
) -> RowCheck:
    """Streams a partition's rows into Parquet, and checks that they belong to the partition.

    Returns:
        The check, which has also collected the rows' statistics.
    """
    schema = storage_schema(plan.columns)
    query = bound_query(definition, plan.request, partition)
    _ensure_planned_columns(transaction.columns(query), plan.columns)
    row_check = RowCheck.of(partition, schema.field(definition.source.time_column))

    def check(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            row_check.check(batch)
            yield batch

    with closing(transaction.stream(query, plan.columns)) as batches:  # ends the query even if the sink fails
        row_groups = cut_row_groups(check(batches), schema)
        write_row_groups(
            builder.observe(row_groups) if builder else row_groups,
            schema,
            sink=sink,
            statistics=[definition.source.time_column],
            pack=True,
        )
    row_check.ensure_rows_in_partition()
    return row_check


def _ensure_planned_source(definition: ReportDefinition, plan: RunPlan, *, transaction: SourceTransaction) -> None:
    """Checks that the run was planned for this database, because the object keys contain the database's identity.

    In Airflow, the connection may have changed since the run was planned. The check does not read the report's tables,
    because locking them before the first token is read would block TRUNCATE.
    """
    current = read_source_digest(definition, plan.request, plan.columns, transaction=transaction)
    if current != plan.source_digest:
        raise IntegrityError("the run was planned for a different source or different parameters: run the report again")


def _ensure_planned_columns(current: Sequence[SourceColumn], planned: Sequence[SourceColumn]) -> None:
    """Checks that the query still returns the planned columns, which determine how values are parsed."""
    for pair in zip_longest(current, planned):
        if pair[0] != pair[1]:
            actual, expected = (f"{column.name} ({column.pg_type})" if column else "nothing" for column in pair)
            raise QueryError(
                f"the query returns {actual} but returned {expected} when the run was planned: run the report again"
            )
