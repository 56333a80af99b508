"""Stored partitions: which rows count under a token. A small JSON, written last and once, decides."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from quire.artifacts import RunPlan, StagedPartition, from_json
from quire.calendar_range import DateRange
from quire.definition import ReportDefinition
from quire.errors import IntegrityError
from quire.object_store import ObjectStore

LOOKUPS = 16  # at once: as many connections as a store keeps


def partition_place(report: str, source_digest: str, key: str, token: str) -> str:
    """Returns the folder of a partition's objects; with ``.json``, the key of the record that decides."""
    return f"partitions/{report}/{source_digest}/{key}/{token}"


def find_partition(store: ObjectStore, place: str) -> StagedPartition | None:
    """Returns the partition that counts, if there is one.

    Raises:
        IntegrityError: its rows are not what the record says.
    """
    value = store.read_json(f"{place}.json")
    if value is None:
        return None
    staged = from_json(StagedPartition, value, source=f"{place}.json")
    if store.size(staged.object_key) != staged.bytes:
        raise IntegrityError(f"{staged.object_key} is not what {place}.json says: delete that and run again")
    return staged


def find_partitions(store: ObjectStore, places: Sequence[str]) -> list[StagedPartition | None]:
    """Returns ``find_partition`` of each place, asked side by side."""
    if not places:
        return []
    with ThreadPoolExecutor(min(LOOKUPS, len(places)), thread_name_prefix="lookup") as pool:
        return list(pool.map(lambda place: find_partition(store, place), places))


def whole_range(
    definition: ReportDefinition, plan: RunPlan, extracted: Sequence[StagedPartition]
) -> tuple[StagedPartition, ...]:
    """Returns every partition of a run in order: those that plan found stored, and those that extract has read.

    Raises:
        IntegrityError: one is missing, or there twice.
    """
    request = plan.request
    days = DateRange(start=request.start, end=request.end, timezone=request.timezone)
    wanted = [partition.key for partition in days.partitions(definition.partition)]
    found = tuple(sorted((*plan.stored, *extracted), key=lambda part: part.start))
    if [part.key for part in found] != wanted:
        odd = sorted(set(wanted).symmetric_difference(part.key for part in found)) or ["one of them twice"]
        raise IntegrityError(f"the run has other partitions than its range: {', '.join(odd[:10])}: run it again")
    return found
