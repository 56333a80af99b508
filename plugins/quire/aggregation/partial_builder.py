"""Computes partial summaries while Quire stores the rows, so that Quire does not read the stored object again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa

from quire.aggregation.measures import input_columns, merge_groups, partial_groups
from quire.aggregation.parquet_scan import collect_all
from quire.errors import QueryError
from quire.record_types.stage_records import SourceColumn
from quire.report.definition import Summary

MIN_MERGED_ROWS = 131_072  # merging fewer rows would cost more than it saves


class PartialSummaryBuilder:
    """Groups one partition's rows while they are being stored, one row group at a time.

    Keeps each summary's groups in memory, but not the rows.

    Args:
        summaries: mergeable summaries.
        columns: the report query's columns.
        timezone: the IANA name of the time zone in which ``every`` computes dates.
        partition: the partition's key, for the error message.
        min_merged_rows: the number of group rows beyond which a summary's groups are merged.
    """

    def __init__(
        self,
        summaries: Sequence[Summary],
        columns: Sequence[SourceColumn],
        *,
        timezone: str,
        partition: str,
        min_merged_rows: int = MIN_MERGED_ROWS,
    ) -> None:
        self._timezone, self._partition = timezone, partition
        self._groups = [
            _Groups(summary, input_columns(summary, columns), min_merged_rows=min_merged_rows) for summary in summaries
        ]
        self._error: QueryError | None = None

    def observe(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Yields each table after grouping its rows."""
        for table in tables:
            self._add(table)
            yield table

    def frames(self) -> list[pl.DataFrame]:
        """Returns the partial summaries in the same order as the summaries. At least one row must have been added.

        Raises:
            QueryError: a value cannot be summed. ``observe`` does not raise this error, because the rows must be stored
                anyway.
        """
        if self._error is not None:
            raise self._error
        return [groups.merge() for groups in self._groups]

    def _add(self, table: pa.Table) -> None:
        if self._error is not None:
            return
        queries = [
            partial_groups(
                pl.DataFrame(table.select([column.name for column in groups.columns])).lazy(),
                groups.summary,
                groups.columns,
                timezone=self._timezone,
            )
            for groups in self._groups
        ]
        try:
            frames = collect_all(queries, what=f"the summaries of {self._partition}", engine="in-memory")
        except QueryError as error:
            self._error = error
            return
        for groups, frame in zip(self._groups, frames, strict=True):
            groups.add(frame)


class _Groups:
    """One summary's groups. Merges new groups once they outnumber the groups that are already merged."""

    def __init__(self, summary: Summary, columns: tuple[SourceColumn, ...], *, min_merged_rows: int) -> None:
        self.summary, self.columns, self._min_merged_rows = summary, columns, min_merged_rows
        self._parts: list[pl.DataFrame] = []
        self._merged_rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        self._parts.append(frame)
        if sum(part.height for part in self._parts) > max(self._min_merged_rows, 2 * self._merged_rows):
            self.merge()

    def merge(self) -> pl.DataFrame:
        if len(self._parts) > 1:
            self._parts = [merge_groups(pl.concat(self._parts).lazy(), self.summary).collect(engine="in-memory")]
            self._merged_rows = self._parts[0].height
        return self._parts[0]
