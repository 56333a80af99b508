"""Checks that every row belongs to its partition, so that a query without a date filter fails before publishing.

The same pass collects the partition's statistics.
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
from quire.run_records.stage_records import PartitionStatistics

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RowCheck:
    """Counts a partition's rows, the rows outside the partition, and the NULL values per column.

    Args:
        partition: the partition that the rows should belong to.
        column: name of the time column.
        start: first time of the partition, as a single-element array of the column's type.
        stop: exclusive end of the partition, in the same form.
    """

    def __init__(self, partition: DatePartition, column: str, start: pa.Array, stop: pa.Array) -> None:
        self.partition, self.column = partition, column
        self._start, self._stop = start[0], stop[0]
        self._number = pa.int32() if pa.types.is_date32(start.type) else pa.int64()
        self._type, self._bounds = start.type, list[int]()
        self._nulls: Counter[str] = Counter()
        self.rows = self._outside = 0

    @classmethod
    def of(cls, partition: DatePartition, field: pa.Field) -> RowCheck:
        """Creates the check for a time column; dates and naive timestamps are local to the partition's time zone."""

        def bound(day: date, day_start: datetime) -> pa.Array:
            if pa.types.is_date32(field.type):
                return _values([(day - EPOCH.date()).days], field.type)
            timestamp = day_start if field.type.tz else datetime.combine(day, time(), tzinfo=UTC)
            return _values([(timestamp - EPOCH) // timedelta(microseconds=1)], field.type)

        return cls(
            partition,
            field.name,
            bound(partition.start, partition.starts_at),
            bound(partition.stop, partition.stops_at),
        )

    def check(self, batch: pa.RecordBatch) -> None:
        """Adds the rows of a batch to the counts."""
        times = batch.column(self.column)
        inside = pc.and_(pc.greater_equal(times, self._start), pc.less(times, self._stop))
        self.rows += batch.num_rows
        self._outside += batch.num_rows - times.null_count - (pc.sum(inside).as_py() or 0)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if column.null_count:
                self._nulls[name] += column.null_count
        min_max = pc.min_max(times.view(self._number)).as_py()
        bounds = [*self._bounds, *(bound for bound in min_max.values() if bound is not None)]
        self._bounds = [min(bounds), max(bounds)] if bounds else []

    def statistics(self) -> PartitionStatistics:
        """Returns the statistics of the rows checked so far, with times in ISO 8601."""
        bounds = [bound.isoformat() for bound in _values(self._bounds, self._type).to_pylist()]
        earliest, latest = bounds or (None, None)
        return PartitionStatistics(earliest=earliest, latest=latest, nulls=dict(self._nulls))

    def ensure_rows_in_partition(self) -> None:
        """Checks that all rows checked so far belong to the partition.

        Raises:
            MisplacedRowsError: rows are outside the partition or have no time.
        """
        first, last = self.partition.start, self.partition.last_day
        misplaced = [
            f"{count:,} {description}"
            for count, description in (
                (self._nulls[self.column], f"without {self.column}"),
                (self._outside, f"with {self.column} outside {first} to {last}"),
            )
            if count
        ]
        if misplaced:
            raise MisplacedRowsError(
                f"the query returned {self.rows:,} rows, including {' and '.join(misplaced)}: "
                f"filter by {self.column} >= %(start)s AND {self.column} < %(end)s"
            )


def _values(numbers: Sequence[int], dtype: pa.DataType) -> pa.Array:
    """Converts days or microseconds since 1970 to an array, without ``pa.array``, which imports pandas if installed."""
    packed = struct.pack(f"={len(numbers)}{'i' if pa.types.is_date32(dtype) else 'q'}", *numbers)
    return pa.Array.from_buffers(dtype, len(numbers), [None, pa.py_buffer(packed)])
