"""Finds cached partitions. A partition is valid if its commit record (a small, write-once JSON object) exists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store import Store
from quire.object_store.block_checksums import ensure_checksums
from quire.object_store.commit_records import find_record, folder_of, map_concurrently
from quire.record_types.stage_records import RunPlan, StagedPartition
from quire.report.definition import ReportDefinition


def partition_folder(report: str, *, source_digest: str, key: str, token: str) -> str:
    """Returns the folder for a partition's objects. The commit record's key is the folder plus ``.json``."""
    return f"partitions/{report}/{source_digest}/{key}/{token}"


def find_cached_partition(store: Store, folder: str, *, with_rows: bool = True) -> StagedPartition | None:
    """Returns the committed partition in a folder, or None on a cache miss.

    Deletes a commit record if it is damaged, belongs to another folder, or describes missing rows.

    Args:
        store: the object store.
        folder: the partition's folder.
        with_rows: whether to check that the rows still exist, which is unnecessary if only the summaries are used.
    """

    def ensure(staged: StagedPartition) -> None:
        ensure_own_folder(staged, folder)
        ensure_checksums(staged.object_key, staged.bytes, staged.checksums)
        if with_rows and not store.has_size(staged.object_key, staged.bytes):
            raise DamagedObjectError(f"{staged.object_key} is missing, or its size has changed")

    return find_record(store, StagedPartition, f"{folder}.json", ensure=ensure)


def ensure_own_folder(staged: StagedPartition, folder: str) -> None:
    """Checks that a commit record is in the folder that matches its partition key, freshness token and rows.

    Raises:
        DamagedObjectError: the record belongs in another folder.
    """
    if folder.split("/")[-2:] != [staged.key, staged.freshness_token] or folder_of(staged.object_key) != folder:
        raise DamagedObjectError(f"{folder}.json describes rows in another folder: it was copied or modified")


def evict_damaged_rows(store: Store, object_key: str, error: DamagedObjectError) -> None:
    """Deletes the commit record for damaged rows unless another process has replaced the record."""

    def ensure(staged: StagedPartition) -> None:
        if staged.object_key == object_key:
            raise error

    find_record(store, StagedPartition, f"{folder_of(object_key)}.json", ensure=ensure)


def find_cached_partitions(
    store: Store, folders: Sequence[str], *, with_rows: bool = True
) -> list[StagedPartition | None]:
    """Calls ``find_cached_partition`` for each folder, with concurrent lookups."""
    return map_concurrently(lambda folder: find_cached_partition(store, folder, with_rows=with_rows), folders)


def merge_partitions(
    definition: ReportDefinition, plan: RunPlan, partitions: Iterable[StagedPartition]
) -> tuple[StagedPartition, ...]:
    """Returns all of a run's partitions, both cached and extracted, in order.

    Raises:
        IntegrityError: a partition is missing or occurs twice.
    """
    expected = [partition.key for partition in plan.request.date_range.partitions(definition.partition)]
    merged = tuple(sorted(partitions, key=lambda partition: partition.start))
    if [partition.key for partition in merged] != expected:
        differing = sorted(set(expected).symmetric_difference(part.key for part in merged)) or ["duplicates"]
        keys = ", ".join(differing[:10])
        raise IntegrityError(f"the run's partitions do not match its date range ({keys}): run the report again")
    return merged
