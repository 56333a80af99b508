"""Does every row lie in its partition? A query that forgets its range is found before anything is published.

What is seen of the rows meanwhile becomes the partition's statistics.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from quire.date_range import DatePartition
from quire.errors import MisplacedRowsError
from quire.records.stage_records import PartitionStatistics

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RowCheck:
    """Counts the rows of one partition, those that do not belong to it, and their NULLs.

    Args:
        partition: where the rows should lie.
        column: the name of the time column.
        start: of the partition, as an array of one value of the column's type.
        stop: its end, exclusive.
    """

    def __init__(self, partition: DatePartition, column: str, start: pa.Array, stop: pa.Array) -> None:
        self.partition, self.column = partition, column
        self._start, self._stop = start[0], stop[0]
        self._number = pa.int32() if pa.types.is_date32(start.type) else pa.int64()
        self._type, self._ends = start.type, list[int]()
        self._nulls: Counter[str] = Counter()
        self.rows = self._outside = 0

    @classmethod
    def of(cls, partition: DatePartition, field: pa.Field) -> RowCheck:
        """Returns the check for a time column: dates and naive timestamps are local to the partition's zone."""

        def bound(day: date, instant: datetime) -> pa.Array:
            if pa.types.is_date32(field.type):
                return _values([(day - EPOCH.date()).days], field.type)
            moment = instant if field.type.tz else datetime.combine(day, time(), tzinfo=UTC)
            return _values([(moment - EPOCH) // timedelta(microseconds=1)], field.type)

        return cls(
            partition,
            field.name,
            bound(partition.start, partition.starts_at),
            bound(partition.stop, partition.stops_at),
        )

    def check(self, batch: pa.RecordBatch) -> None:
        """Counts a batch's rows."""
        times = batch.column(self.column)
        inside = pc.and_(pc.greater_equal(times, self._start), pc.less(times, self._stop))
        self.rows += batch.num_rows
        self._outside += batch.num_rows - times.null_count - (pc.sum(inside).as_py() or 0)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if column.null_count:
                self._nulls[name] += column.null_count
        found = pc.min_max(times.view(self._number)).as_py()
        ends = [*self._ends, *(end for end in found.values() if end is not None)]
        self._ends = [min(ends), max(ends)] if ends else []

    def statistics(self) -> PartitionStatistics:
        """Returns what was seen; times as ISO 8601 text."""
        ends = [end.isoformat() for end in _values(self._ends, self._type).to_pylist()]
        earliest, latest = ends or (None, None)
        return PartitionStatistics(earliest=earliest, latest=latest, nulls=dict(self._nulls))

    def ensure_rows_in_partition(self) -> None:
        """Refuses the partition where a row did not lie in it.

        Raises:
            MisplacedRowsError: with the counts.
        """
        found = [
            f"{count:,} {words}"
            for count, words in (
                (self._nulls[self.column], f"with no {self.column}"),
                (self._outside, f"whose {self.column} is not from {self.partition.start} to {self.partition.last_day}"),
            )
            if count
        ]
        if found:
            raise MisplacedRowsError(
                f"the query gave {self.rows:,} rows, of which {' and '.join(found)}: "
                f"mend its WHERE, so that {self.column} >= %(start)s AND {self.column} < %(end)s"
            )


def _values(numbers: Sequence[int], kind: pa.DataType) -> pa.Array:
    """Returns days or microseconds since 1970 as an array; Arrow's own way imports pandas, where that is installed."""
    packed = struct.pack(f"={len(numbers)}{'i' if pa.types.is_date32(kind) else 'q'}", *numbers)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(packed)])
