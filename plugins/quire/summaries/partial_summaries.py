"""Pre-calculated summaries: what a stored partition adds to each, kept beside its rows and merged when asked for.

They are true as long as the rows are: they lie under the rows' token, and under a digest of what is measured.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quire.errors import DamagedObjectError
from quire.object_store import Store
from quire.object_store.commit_records import commit_once, find_record, folder_of, side_by_side
from quire.records.serialization import digest
from quire.records.stage_records import PartialSummaries, RunPlan, StagedPartition, StagedSummary
from quire.report.definition import ReportDefinition, Summary

if TYPE_CHECKING:
    import polars as pl

MERGED = ("count", "sum", "mean", "min", "max")
MEASURER = 2  # raised when the same rows would give other parts


def merged_summaries(definition: ReportDefinition) -> tuple[Summary, ...]:
    """Returns the summaries all of whose measures can be merged from those of the partitions."""
    return tuple(
        summary
        for summary in definition.summaries
        if all(measure.agg in MERGED for measure in summary.measures.values())
    )


def needs_rows(definition: ReportDefinition) -> bool:
    """Whether a run reads the rows of partitions that are stored: for their workbooks, or for what cannot be merged."""
    return definition.workbook.detail or len(merged_summaries(definition)) < len(definition.summaries)


def keep_partials(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition], *, store: Store
) -> list[PartialSummaries]:
    """Returns what each partition that has rows adds to the summaries; what is not stored yet is calculated and kept.

    Of two writers, the one whose record is there first counts; the other drops its own and adopts the winner's.

    Args:
        definition: the report.
        plan: of the run.
        staged: partitions that outlive the run.
        store: where the rows are.

    Raises:
        QueryError: a value cannot be summed.
        StoreRefusedError, StoreUnavailableError: the object store cannot be read or does not take it.
    """
    filled = [partition for partition in staged if partition.rows]
    if not filled or not merged_summaries(definition):
        return []
    keys = [_record_key(definition, partition) for partition in filled]
    found = side_by_side(lambda key: _find(store, key), keys)
    return [
        known or _calculate(definition, plan, partition, key=key, store=store)
        for known, partition, key in zip(found, filled, keys, strict=True)
    ]


def _calculate(
    definition: ReportDefinition, plan: RunPlan, partition: StagedPartition, *, key: str, store: Store
) -> PartialSummaries:
    from quire.summaries.measures import partial_groups
    from quire.summaries.parquet_scan import collect_all, scan_rows

    rows = scan_rows(plan.columns, [partition], store).cache()  # one pass for all summaries
    summaries = merged_summaries(definition)
    frames = collect_all(
        [partial_groups(rows, summary, plan.columns, timezone=definition.timezone) for summary in summaries],
        what=f"the summaries of {partition.key}",
    )
    found = PartialSummaries(
        summaries=tuple(
            put_frame(frame, summary.name, folder=folder_of(partition.object_key), store=store)
            for summary, frame in zip(summaries, frames, strict=True)
        ),
        key=key,
    )
    own = [summary.object_key for summary in found.summaries]
    winner = commit_once(store, key, found, objects=own, find=lambda: _find(store, key))
    return winner or found


def _find(store: Store, key: str) -> PartialSummaries | None:
    """Returns what is stored; deletes a record that is damaged, or was written for another place."""

    def ensure(partial: PartialSummaries) -> None:
        folder = folder_of(key)
        if partial.key != key or any(folder_of(part.object_key) != folder for part in partial.summaries):
            raise DamagedObjectError(f"{key} does not say that it was calculated of these rows")

    return find_record(store, PartialSummaries, key, ensure=ensure)


def _discard(store: Store, key: str, partial: PartialSummaries, error: DamagedObjectError) -> None:
    """Deletes a record that names what is damaged, unless it names something else by now."""

    def ensure(current: PartialSummaries) -> None:
        if current == partial:
            raise error

    find_record(store, PartialSummaries, key, ensure=ensure)


def read_partials(
    definition: ReportDefinition, plan: RunPlan, staged: Sequence[StagedPartition], *, store: Store
) -> list[tuple[pl.DataFrame, ...]]:
    """Returns what each partition that has rows adds to the summaries; calculates anew what is damaged.

    Raises:
        DamagedObjectError: the rows are damaged too, or what was calculated anew is at once.
        QueryError: a value cannot be summed.
        StoreRefusedError, StoreUnavailableError: the object store cannot be read or does not take it.
    """
    filled = [partition for partition in staged if partition.rows]
    partials = keep_partials(definition, plan, filled, store=store)

    def read(position: int) -> tuple[pl.DataFrame, ...]:
        try:
            return _frames(store, partials[position])
        except DamagedObjectError as error:
            _discard(store, _record_key(definition, filled[position]), partials[position], error)
        (partial,) = keep_partials(definition, plan, [filled[position]], store=store)
        return _frames(store, partial)

    return side_by_side(read, range(len(partials)))


def _frames(store: Store, partial: PartialSummaries) -> tuple[pl.DataFrame, ...]:
    import polars as pl

    bodies = (store.read_verified(part.object_key, sha256=part.sha256, size=part.bytes) for part in partial.summaries)
    return tuple(pl.read_parquet(io.BytesIO(body)) for body in bodies)


def put_frame(frame: pl.DataFrame, name: str, *, folder: str, store: Store) -> StagedSummary:
    """Stores a small table as Parquet under a name of its own."""
    body = io.BytesIO()
    frame.write_parquet(body)
    stored = body.getvalue()
    key = f"{folder}/{uuid.uuid4().hex}.parquet"
    store.put(key, stored)
    return StagedSummary(
        name=name, object_key=key, rows=frame.height, bytes=len(stored), sha256=hashlib.sha256(stored).hexdigest()
    )


def _record_key(definition: ReportDefinition, partition: StagedPartition) -> str:
    measured = [
        (summary.name, [key.model_dump(mode="json") for key in summary.by], _measures(summary))
        for summary in merged_summaries(definition)
    ]
    # of these very rows: where they were deleted and are read again, what was calculated of them is of no use
    return f"{folder_of(partition.object_key)}/{digest(MEASURER, partition.object_key, measured)}.json"


def _measures(summary: Summary) -> list[tuple[str, str | None]]:
    return [(measure.agg, measure.of) for measure in summary.measures.values()]
