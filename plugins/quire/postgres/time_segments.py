"""Divides a table's time column at the bounds of partitions, so that one query can group rows by partition."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Generic, TypeVar

ALL_PARTITIONS = -1  # the segment for rows or records that can affect every partition
Edge = TypeVar("Edge", bound=date)


class TimeSegments(Generic[Edge]):
    """The segments between the sorted bounds of partitions, with the numbers that ``width_bucket`` returns.

    Args:
        bounds: each partition's half-open range. Adjacent partitions may overlap.
    """

    def __init__(self, bounds: Sequence[tuple[Edge, Edge]]) -> None:
        self._bounds = bounds
        self.edges: list[Edge] = sorted({edge for pair in bounds for edge in pair})
        self._positions = {edge: position for position, edge in enumerate(self.edges)}

    def of(self, number: int) -> tuple[int, ...]:
        """Returns the segments that can affect the partition at a position, including ``ALL_PARTITIONS``."""
        first, last = (self._positions[edge] for edge in self._bounds[number])
        return (ALL_PARTITIONS, *range(first + 1, last + 1))  # segment i is between edges i - 1 and i
