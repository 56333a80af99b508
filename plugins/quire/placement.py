"""Does every row lie in its partition? A query that forgets its range is found before anything is published.

What is seen of the rows meanwhile becomes the partition's statistics.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from quire.artifacts import PartitionStatistics
from quire.calendar_range import DatePartition
from quire.errors import MisplacedRowsError


class Placement:
    """Counts the rows of one partition, those that do not belong to it, and their NULLs.

    Args:
        partition: where the rows should lie.
        column: the name of the time column.
        start: of the partition, as a scalar of the column's type.
        stop: its end, exclusive.
    """

    def __init__(self, partition: DatePartition, column: str, start: pa.Scalar, stop: pa.Scalar) -> None:
        self.partition, self.column = partition, column
        self._start, self._stop = start, stop
        self._ends = pa.array([], start.type)
        self._nulls: Counter[str] = Counter()
        self.rows = self._outside = 0

    @classmethod
    def of(cls, partition: DatePartition, field: pa.Field) -> Placement:
        """Returns the check for a time column: dates and naive timestamps are local to the partition's zone."""

        def bound(day: date, instant: datetime) -> Any:
            if pa.types.is_date32(field.type):
                return pa.scalar(day, field.type)
            local = datetime.combine(day, time())
            return pa.scalar(instant.astimezone(UTC) if field.type.tz else local, field.type)

        return cls(
            partition,
            field.name,
            bound(partition.start, partition.start_instant),
            bound(partition.stop, partition.stop_instant),
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
        self._ends = _ends(pa.concat_arrays([self._ends, _ends(times)]))

    def statistics(self) -> PartitionStatistics:
        """Returns what was seen; times as ISO 8601 text."""
        earliest, latest = (end.isoformat() for end in self._ends.to_pylist()) if len(self._ends) else (None, None)
        return PartitionStatistics(earliest=earliest, latest=latest, nulls=dict(self._nulls))

    def refuse_misplaced(self) -> None:
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


def _ends(times: pa.Array) -> pa.Array:
    """Returns the earliest and the latest time; nothing where there is none."""
    found = pc.min_max(times)
    return pa.array([found["min"], found["max"]], times.type).drop_null()
