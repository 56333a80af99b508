"""Does every row lie in its partition? A query that forgets its range is found before anything is published."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from quire.calendar_range import DatePartition
from quire.errors import MisplacedRowsError


class Placement:
    """Counts the rows of one partition, and those that do not belong to it.

    Args:
        partition: where the rows should lie.
        column: the name of the time column.
        start: of the partition, as a scalar of the column's type.
        stop: its end, exclusive.
    """

    def __init__(self, partition: DatePartition, column: str, start: pa.Scalar, stop: pa.Scalar) -> None:
        self.partition, self.column = partition, column
        self._start, self._stop = start, stop
        self.rows = self._nulls = self._outside = 0

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
        self._nulls += times.null_count
        self._outside += batch.num_rows - times.null_count - (pc.sum(inside).as_py() or 0)

    def refuse_misplaced(self) -> None:
        """Refuses the partition where a row did not lie in it.

        Raises:
            MisplacedRowsError: with the counts.
        """
        found = [
            f"{count:,} {words}"
            for count, words in (
                (self._nulls, f"with no {self.column}"),
                (self._outside, f"whose {self.column} is not from {self.partition.start} to {self.partition.last_day}"),
            )
            if count
        ]
        if found:
            raise MisplacedRowsError(
                f"the query gave {self.rows:,} rows, of which {' and '.join(found)}: "
                f"mend its WHERE, so that {self.column} >= %(start)s AND {self.column} < %(end)s"
            )
