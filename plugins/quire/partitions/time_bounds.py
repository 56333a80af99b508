"""The time column's ends among the rows of one file: what its first and last rows are, to a reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, tzinfo

import pyarrow as pa
import pyarrow.compute as pc

from quire.date_range import zone
from quire.object_store import Store
from quire.partitions.row_reader import read_rows
from quire.records.stage_records import RowSlice, StagedPartition


def cut_slices(slices: Sequence[RowSlice], *, skipped: int, rows: int) -> tuple[RowSlice, ...]:
    """Returns the slices that hold ``rows`` rows after the first ``skipped`` ones."""
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
    """Returns the earliest and the latest time among rows, dates or date-times; None where there are no rows.

    The statistics of a partition tell it where all of its rows are among them. Else its time column is read.

    Args:
        slices: the rows.
        partitions: of the run.
        column: the time column.
        timezone: what instants are converted to.
        store: where the rows are.

    Raises:
        IntegrityError: stored rows are not what they were.
    """
    staged = {partition.object_key: partition for partition in partitions}
    ends: list[date] = []
    for part in slices:
        ends += _statistics(part, staged.get(part.object_key)) or _stored_ends(part, column, store)
    if not ends:
        return None
    # Date-times of one zone compare by their wall clocks, which run through the same hour twice in autumn.
    instants = [_in_zone(end, UTC) for end in ends]
    return _in_zone(min(instants), zone(timezone)), _in_zone(max(instants), zone(timezone))


def _in_zone(time: date, timezone: tzinfo) -> date:
    return time.astimezone(timezone) if isinstance(time, datetime) and time.tzinfo else time


def _statistics(part: RowSlice, partition: StagedPartition | None) -> list[date]:
    if partition is None or part.rows != partition.rows:
        return []
    ends = (partition.statistics.earliest, partition.statistics.latest)
    return [_parse(end) for end in ends if end]


def _parse(text: str) -> date:
    return date.fromisoformat(text) if len(text) == len("2013-01-31") else datetime.fromisoformat(text)


def _stored_ends(part: RowSlice, column: str, store: Store) -> Iterator[date]:
    for batch in read_rows(store, [part], [column]):
        values = batch.column(0)
        number = pa.int32() if pa.types.is_date32(values.type) else pa.int64()
        found = pc.min_max(values.view(number)).as_py()
        ends = pa.array(found.values(), number).view(values.type)
        yield from (end for end in ends.to_pylist() if end is not None)
