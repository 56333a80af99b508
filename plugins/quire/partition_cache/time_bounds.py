"""Finds the earliest and latest times among a file's rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, tzinfo

import pyarrow as pa
import pyarrow.compute as pc

from quire.date_range import zone
from quire.object_store import Store
from quire.partition_cache.row_reader import read_rows
from quire.record_types.stage_records import RowSlice, StagedPartition


def cut_slices(slices: Sequence[RowSlice], *, skipped: int, rows: int) -> tuple[RowSlice, ...]:
    """Returns slices that contain ``rows`` rows, starting after the first ``skipped`` rows."""
    cut = []
    first = 0
    for part in slices:
        start, stop = max(first, skipped), min(first + part.rows, skipped + rows)
        if start < stop:
            offset = part.offset + start - first
            cut.append(
                RowSlice(
                    partition=part.partition,
                    object_key=part.object_key,
                    bytes=part.bytes,
                    checksums=part.checksums,
                    offset=offset,
                    rows=stop - start,
                )
            )
        first += part.rows
    return tuple(cut)


def row_time_bounds(
    slices: Sequence[RowSlice],
    partitions: Sequence[StagedPartition],
    *,
    column: str,
    timezone: str,
    store: Store,
) -> tuple[date, date] | None:
    """Returns the rows' earliest and latest times as dates or datetimes, or None if there are no rows.

    Uses a partition's statistics if a slice contains all of the partition's rows; otherwise reads the time column.

    Args:
        slices: the rows.
        partitions: the run's partitions.
        column: the time column.
        timezone: the time zone for the returned datetimes.
        store: the object store.

    Raises:
        IntegrityError: the stored rows are damaged.
    """
    staged = {partition.object_key: partition for partition in partitions}
    bounds: list[date] = []
    for part in slices:
        bounds += _statistics(part, staged.get(part.object_key)) or _stored_bounds(part, column, store)
    if not bounds:
        return None
    # Compare in UTC: within a zone, Python compares wall-clock times, and one hour occurs twice in autumn.
    times = [_in_zone(bound, UTC) for bound in bounds]
    return _in_zone(min(times), zone(timezone)), _in_zone(max(times), zone(timezone))


def _in_zone(time: date, timezone: tzinfo) -> date:
    return time.astimezone(timezone) if isinstance(time, datetime) and time.tzinfo else time


def _statistics(part: RowSlice, partition: StagedPartition | None) -> list[date]:
    if partition is None or part.rows != partition.rows:
        return []
    bounds = (partition.statistics.earliest, partition.statistics.latest)
    return [_parse(bound) for bound in bounds if bound]


def _parse(text: str) -> date:
    return date.fromisoformat(text) if len(text) == len("2013-01-31") else datetime.fromisoformat(text)


def _stored_bounds(part: RowSlice, column: str, store: Store) -> Iterator[date]:
    for batch in read_rows(store, [part], [column]):
        values = batch.column(0)
        number = pa.int32() if pa.types.is_date32(values.type) else pa.int64()
        min_max = pc.min_max(values.view(number)).as_py()
        bounds = pa.array(min_max.values(), number).view(values.type)
        yield from (bound for bound in bounds.to_pylist() if bound is not None)
