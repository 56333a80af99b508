"""Stored partitions: which rows count under a token. A small JSON, written last and once, decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store import Store
from quire.object_store.block_checksums import ensure_checksums
from quire.object_store.commit_records import find_record, folder_of, side_by_side
from quire.records.stage_records import RunPlan, StagedPartition
from quire.report.definition import ReportDefinition


def partition_folder(report: str, source_digest: str, key: str, token: str) -> str:
    """Returns the folder of a partition's objects; with ``.json``, the key of the record that decides."""
    return f"partitions/{report}/{source_digest}/{key}/{token}"


def find_cached_partition(store: Store, place: str, *, with_rows: bool = True) -> StagedPartition | None:
    """Returns the partition that counts, if there is one.

    Deletes a record that is damaged, was written for another place, or whose rows are lost.

    Args:
        store: where it may be.
        place: its folder.
        with_rows: whether its rows are of interest, and not only what was calculated of them.
    """

    def ensure(staged: StagedPartition) -> None:
        ensure_own_folder(staged, place)
        ensure_checksums(staged.object_key, staged.bytes, staged.checksums)
        if with_rows and not store.has_size(staged.object_key, staged.bytes):
            raise DamagedObjectError(f"{staged.object_key} is missing, or has another size than was stored")

    return find_record(store, StagedPartition, f"{place}.json", ensure=ensure)


def ensure_own_folder(staged: StagedPartition, place: str) -> None:
    """Checks that a record was written for the place that it lies at: its token, its partition, and its rows' folder.

    Raises:
        DamagedObjectError: it was not.
    """
    if place.split("/")[-2:] != [staged.key, staged.freshness_token] or folder_of(staged.object_key) != place:
        raise DamagedObjectError(f"{place}.json is the record of other rows: it was copied or changed")


def evict_damaged_rows(store: Store, object_key: str, error: DamagedObjectError) -> None:
    """Makes a cache miss of a partition whose rows are damaged, unless other rows count by now."""

    def ensure(staged: StagedPartition) -> None:
        if staged.object_key == object_key:
            raise error

    find_record(store, StagedPartition, f"{folder_of(object_key)}.json", ensure=ensure)


def find_cached_partitions(
    store: Store, places: Sequence[str], *, with_rows: bool = True
) -> list[StagedPartition | None]:
    """Returns ``find_cached_partition`` of each place, asked side by side."""
    return side_by_side(lambda place: find_cached_partition(store, place, with_rows=with_rows), places)


def merge_partitions(
    definition: ReportDefinition, plan: RunPlan, partitions: Iterable[StagedPartition]
) -> tuple[StagedPartition, ...]:
    """Returns all partitions of a run, cached and extracted, in order.

    Raises:
        IntegrityError: a partition is missing or occurs twice.
    """
    keys = [partition.key for partition in plan.request.date_range.partitions(definition.partition)]
    merged = tuple(sorted(partitions, key=lambda partition: partition.start))
    if [partition.key for partition in merged] != keys:
        differing = sorted(set(keys).symmetric_difference(part.key for part in merged)) or ["one of them twice"]
        raise IntegrityError(f"the run has other partitions than its range: {', '.join(differing[:10])}: run it again")
    return merged
