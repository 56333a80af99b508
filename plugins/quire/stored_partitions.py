"""Stored partitions: which rows count under a token. A small JSON, written last and once, decides."""

from __future__ import annotations

from collections.abc import Sequence

from quire.artifacts import RunPlan, StagedPartition
from quire.definition import ReportDefinition
from quire.errors import IntegrityError
from quire.object_store import ObjectStore
from quire.records import read_record, side_by_side


def partition_place(report: str, source_digest: str, key: str, token: str) -> str:
    """Returns the folder of a partition's objects; with ``.json``, the key of the record that decides."""
    return f"partitions/{report}/{source_digest}/{key}/{token}"


def find_partition(store: ObjectStore, place: str, *, with_rows: bool = True) -> StagedPartition | None:
    """Returns the partition that counts, if there is one.

    Args:
        store: where it may be.
        place: its folder.
        with_rows: whether its rows are of interest, and not only what was calculated of them.

    Raises:
        IntegrityError: its rows are not what the record says.
    """
    staged = read_record(store, StagedPartition, f"{place}.json")
    if staged and with_rows and store.size(staged.object_key) != staged.bytes:
        raise IntegrityError(f"{staged.object_key} is not what {place}.json says: delete that and run again")
    return staged


def find_partitions(
    store: ObjectStore, places: Sequence[str], *, with_rows: bool = True
) -> list[StagedPartition | None]:
    """Returns ``find_partition`` of each place, asked side by side."""
    return side_by_side(lambda place: find_partition(store, place, with_rows=with_rows), places)


def whole_range(
    definition: ReportDefinition, plan: RunPlan, extracted: Sequence[StagedPartition]
) -> tuple[StagedPartition, ...]:
    """Returns every partition of a run in order: those that plan found stored, and those that extract has read.

    Raises:
        IntegrityError: one is missing, or there twice.
    """
    wanted = [partition.key for partition in plan.request.days.partitions(definition.partition)]
    found = tuple(sorted((*plan.stored, *extracted), key=lambda part: part.start))
    if [part.key for part in found] != wanted:
        odd = sorted(set(wanted).symmetric_difference(part.key for part in found)) or ["one of them twice"]
        raise IntegrityError(f"the run has other partitions than its range: {', '.join(odd[:10])}: run it again")
    return found
