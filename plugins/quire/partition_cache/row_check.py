"""Checks that every row belongs to its partition, so that a run fails if its query lacks a date filter.

Collects the partition's statistics in the same pass.
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
from quire.record_types.stage_records import PartitionStatistics

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RowCheck:
    """Counts the rows in a partition, the rows outside it, and the NULL values in each column.

    Args:
        partition: the partition to which the rows should belong.
        column: the time column's name.
        start: the partition's start (inclusive), as a one-element array of the column's type.
        stop: the partition's end (exclusive), in the same form.
    """

    def __init__(self, partition: DatePartition, column: str, *, start: pa.Array, stop: pa.Array) -> None:
        self.partition, self.column = partition, column
        self._start, self._stop = start[0], stop[0]
        self._number = pa.int32() if pa.types.is_date32(start.type) else pa.int64()
        self._type, self._bounds = start.type, list[int]()
        self._nulls: Counter[str] = Counter()
        self.rows = self._outside = 0

    @classmethod
    def of(cls, partition: DatePartition, field: pa.Field) -> RowCheck:
        """Creates a check for a time column. Dates and naive timestamps are in the partition's time zone."""

        def bound(day: date, day_start: datetime) -> pa.Array:
            if pa.types.is_date32(field.type):
                return _values([(day - EPOCH.date()).days], field.type)
            timestamp = day_start if field.type.tz else datetime.combine(day, time(), tzinfo=UTC)
            return _values([(timestamp - EPOCH) // timedelta(microseconds=1)], field.type)

        return cls(
            partition,
            field.name,
            start=bound(partition.start, partition.starts_at),
            stop=bound(partition.stop, partition.stops_at),
        )

    def check(self, batch: pa.RecordBatch) -> None:
        """Counts the rows in a batch."""
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
        """Returns statistics for the rows checked so far. Times are in ISO 8601 format."""
        bounds = [bound.isoformat() for bound in _values(self._bounds, self._type).to_pylist()]
        earliest, latest = bounds or (None, None)
        return PartitionStatistics(earliest=earliest, latest=latest, nulls=dict(self._nulls))

    def ensure_rows_in_partition(self) -> None:
        """Checks that all rows checked so far belong to the partition.

        Raises:
            MisplacedRowsError: there are rows outside the partition or without a time.
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
    """Converts days or microseconds since 1970 to an array. Avoids ``pa.array``, which imports pandas if installed."""
    packed = struct.pack(f"={len(numbers)}{'i' if pa.types.is_date32(dtype) else 'q'}", *numbers)
    return pa.Array.from_buffers(dtype, len(numbers), [None, pa.py_buffer(packed)])
