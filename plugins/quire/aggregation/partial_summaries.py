"""Stores partial summaries next to their partition's rows. A partial summary summarizes one partition.

Their key contains the row object's key and a digest of the measures, so they stay valid as long as the rows do.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quire.errors import DamagedObjectError
from quire.object_store import Store
from quire.object_store.commit_records import commit_once, find_record, folder_of, map_concurrently
from quire.record_types.serialization import digest
from quire.record_types.stage_records import PartialSummaries, RunPlan, StagedPartition, StagedSummary
from quire.report.definition import ReportDefinition, Summary

if TYPE_CHECKING:
    import polars as pl

MERGEABLE = ("count", "sum", "mean", "min", "max")
MEASURER = 2  # increment this number if a change makes the same rows produce different partial summaries


def mergeable_summaries(definition: ReportDefinition) -> tuple[Summary, ...]:
    """Returns the summaries whose measures can all be merged from partial summaries."""
    return tuple(
        summary
        for summary in definition.summaries
        if all(measure.agg in MERGEABLE for measure in summary.measures.values())
    )


def needs_rows(definition: ReportDefinition) -> bool:
    """Returns whether a run reads cached rows, either for workbooks or for summaries that cannot be merged."""
    return definition.workbook.detail or len(mergeable_summaries(definition)) < len(definition.summaries)


def ensure_partials(
    definition: ReportDefinition, plan: RunPlan, partitions: Sequence[StagedPartition], *, store: Store
) -> list[PartialSummaries]:
    """Returns the partial summaries for each partition with rows, and computes missing ones from the stored rows.

    Args:
        definition: the report.
        plan: the run's plan.
        partitions: reusable partitions.
        store: the store that holds the rows.

    Raises:
        QueryError: a value cannot be summed.
        StoreRefusedError, StoreUnavailableError: the store cannot be read from or written to.
    """
    filled = [partition for partition in partitions if partition.rows]
    if not filled or not mergeable_summaries(definition):
        return []
    keys = [_record_key(definition, partition) for partition in filled]
    stored = map_concurrently(lambda key: _find(store, key), keys)
    return [
        partials
        or store_partials(definition, partition, _compute(definition, plan, partition, store=store), store=store)
        for partials, partition in zip(stored, filled, strict=True)
    ]


def store_partials(
    definition: ReportDefinition, partition: StagedPartition, frames: Sequence[pl.DataFrame], *, store: Store
) -> PartialSummaries:
    """Stores a partition's partial summaries, one frame for each mergeable summary, and their commit record.

    If two processes write partial summaries for the same partition, the first one to commit wins. The other deletes
    its own objects and adopts the winner's.

    Raises:
        StoreRefusedError, StoreUnavailableError: the store cannot be written to.
    """
    key = _record_key(definition, partition)
    partials = PartialSummaries(
        summaries=tuple(
            put_frame(frame, summary.name, folder=folder_of(partition.object_key), store=store)
            for summary, frame in zip(mergeable_summaries(definition), frames, strict=True)
        ),
        key=key,
    )
    own = [summary.object_key for summary in partials.summaries]
    return commit_once(store, key, partials, objects=own, find=lambda: _find(store, key)) or partials


def _compute(
    definition: ReportDefinition, plan: RunPlan, partition: StagedPartition, *, store: Store
) -> list[pl.DataFrame]:
    from quire.aggregation.measures import partial_groups
    from quire.aggregation.parquet_scan import collect_all, scan_rows

    rows = scan_rows(plan.columns, [partition], store).cache()  # all summaries share one pass
    queries = [
        partial_groups(rows, summary, plan.columns, timezone=definition.timezone)
        for summary in mergeable_summaries(definition)
    ]
    return collect_all(queries, what=f"the summaries of {partition.key}")


def _find(store: Store, key: str) -> PartialSummaries | None:
    """Returns the stored partial summaries. Deletes their record if it is damaged or was copied from different rows."""

    def ensure(partial: PartialSummaries) -> None:
        folder = folder_of(key)
        if partial.key != key or any(folder_of(part.object_key) != folder for part in partial.summaries):
            raise DamagedObjectError(f"{key} belongs to other rows")

    return find_record(store, PartialSummaries, key, ensure=ensure)


def _discard(store: Store, key: str, partial: PartialSummaries, *, error: DamagedObjectError) -> None:
    """Deletes a record that references damaged objects, unless another process has already replaced it."""

    def ensure(current: PartialSummaries) -> None:
        if current == partial:
            raise error

    find_record(store, PartialSummaries, key, ensure=ensure)


def read_partials(
    definition: ReportDefinition, plan: RunPlan, partitions: Sequence[StagedPartition], *, store: Store
) -> list[tuple[pl.DataFrame, ...]]:
    """Reads the partial summaries for each partition with rows, and computes missing or damaged ones from the rows.

    Raises:
        DamagedObjectError: the rows are also damaged, or the store damages new partial summaries.
        QueryError: a value cannot be summed.
        StoreRefusedError, StoreUnavailableError: the store cannot be read from or written to.
    """
    filled = [partition for partition in partitions if partition.rows]
    partials = ensure_partials(definition, plan, filled, store=store)

    def read(position: int) -> tuple[pl.DataFrame, ...]:
        try:
            return _frames(store, partials[position])
        except DamagedObjectError as error:
            _discard(store, _record_key(definition, filled[position]), partials[position], error=error)
        (partial,) = ensure_partials(definition, plan, [filled[position]], store=store)
        return _frames(store, partial)

    return map_concurrently(read, range(len(partials)))


def _frames(store: Store, partial: PartialSummaries) -> tuple[pl.DataFrame, ...]:
    import polars as pl

    bodies = (store.read_verified(part.object_key, sha256=part.sha256, size=part.bytes) for part in partial.summaries)
    return tuple(pl.read_parquet(io.BytesIO(body)) for body in bodies)


def put_frame(frame: pl.DataFrame, name: str, *, folder: str, store: Store) -> StagedSummary:
    """Stores a small table as a new Parquet object."""
    body = io.BytesIO()
    frame.write_parquet(body)
    stored = body.getvalue()
    key = f"{folder}/{uuid.uuid4().hex}.parquet"
    store.put(key, stored)
    return StagedSummary(
        name=name, object_key=key, rows=frame.height, bytes=len(stored), sha256=hashlib.sha256(stored).hexdigest()
    )


def _record_key(definition: ReportDefinition, partition: StagedPartition) -> str:
    measures = [
        (summary.name, [key.model_dump(mode="json") for key in summary.by], _measures(summary))
        for summary in mergeable_summaries(definition)
    ]
    # The key includes the row object's key, so that rows that are extracted again get new partial summaries.
    return f"{folder_of(partition.object_key)}/{digest(MEASURER, partition.object_key, measures)}.json"


def _measures(summary: Summary) -> list[tuple[str, str | None]]:
    return [(measure.agg, measure.of) for measure in summary.measures.values()]
