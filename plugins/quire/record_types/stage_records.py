"""The frozen records that stages exchange, which consist of JSON types and dates.

The records do not contain rows; they contain the keys of the objects that hold the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Annotated

from pydantic import AliasChoices, Field

from quire.date_range import DatePartition
from quire.report.definition.workbook_options import FileFormat
from quire.report.request import RunRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumn:
    """A column in the report's query. ``pg_type`` is PostgreSQL's type name, such as ``numeric(12,2)``."""

    name: str
    pg_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStatistics:
    """The time column's minimum and maximum in ISO 8601, and the number of NULLs in each column that has NULLs."""

    earliest: str | None = None
    latest: str | None = None
    nulls: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedPartition:
    """The rows of one partition, stored as a Parquet object. In earlier versions, four fields had different names.

    Args:
        freshness_token: the digest that identifies the rows.
        checksums: the checksums of the object's blocks; empty if an earlier version wrote the object.
        snapshot_at: when the rows were read, in UTC as ISO 8601.
        reusable: whether other runs may use the partition.
        cache_hit: whether the partition existed before this run.
    """

    key: str
    start: date
    stop: date
    object_key: str
    rows: int
    bytes: int
    sha256: str
    freshness_token: Annotated[str, Field(validation_alias=AliasChoices("freshness_token", "token"))]
    checksums: str = ""
    snapshot_at: Annotated[str, Field(validation_alias=AliasChoices("snapshot_at", "read_at"))] = ""
    reusable: Annotated[bool, Field(validation_alias=AliasChoices("reusable", "lasts"))] = True
    cache_hit: Annotated[bool, Field(validation_alias=AliasChoices("cache_hit", "stored"))] = False
    statistics: PartitionStatistics = field(default_factory=PartitionStatistics)

    @property
    def last_day(self) -> date:
        """The partition's last date."""
        return self.stop - timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """The facts about a run that all stages need: the request, the source, and the columns in the report's query."""

    request: RunRequest
    source_digest: str
    columns: tuple[SourceColumn, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryEstimate:
    """The PostgreSQL planner's estimate for a query: the number of rows, and the cost in planner units."""

    rows: float = 0.0
    cost: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run that has been divided into partitions: the cache hits, and a group of partitions for each extract task."""

    plan: RunPlan
    cached: tuple[StagedPartition, ...]
    groups: tuple[tuple[DatePartition, ...], ...]

    @property
    def partition_count(self) -> int:
        """The total number of partitions, including cache hits."""
        return len(self.cached) + sum(map(len, self.groups))


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedSummary:
    """The rows of one summary, stored as a small Parquet object."""

    name: str
    object_key: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialSummaries:
    """The partial summaries of one partition, one for each mergeable summary.

    Args:
        key: the record's own object key, which identifies the rows and the measures; empty if an earlier version wrote
            the record.
    """

    summaries: tuple[StagedSummary, ...]
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSlice:
    """Consecutive rows in a partition, from row ``offset``. ``bytes`` and ``checksums`` describe the entire object."""

    partition: str
    object_key: str
    bytes: int
    checksums: str
    offset: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """A file that readers can download.

    Args:
        start: the first date that the file covers.
        end: the last date that the file covers.
        earliest: the time column's minimum, in the report's time zone as ISO 8601.
        latest: the time column's maximum, in the same format.
        summaries_only: whether the file contains summaries but no rows.
        notes: sentences about values that the file cannot represent exactly.
        cache_hit: whether the file existed before this run.
    """

    name: str
    key: str
    rows: int
    bytes: int
    sha256: str
    start: date
    end: date
    earliest: str | None = None
    latest: str | None = None
    summaries_only: bool = False
    notes: tuple[str, ...] = ()
    cache_hit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedWorkbook:
    """The files of one workbook in one format, which all runs with the same rows share.

    Args:
        key: the workbook's key (see ``WorkbookKeys``), which is also part of the record's object key.
        files: the workbook, and its continuations if it exceeds Excel's limits.
    """

    key: str
    files: tuple[RenderedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkbookShard:
    """The rows of one workbook.

    Args:
        stem: the file name without its suffix.
        start: the first date that the workbook covers.
        end: the last date that the workbook covers.
        slices: the rows, in order.
        keys: for each file format to render, the workbook's key (see ``WorkbookKeys``), or None if other runs cannot
            use the workbook; without the formats in which the workbook is cached, and empty before layout.
    """

    stem: str
    start: date
    end: date
    slices: tuple[RowSlice, ...]
    keys: dict[FileFormat, str | None] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(part.rows for part in self.slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLayout:
    """The key under which a run is published, and the files that the run consists of.

    Args:
        run_key: the run's key.
        already_published: whether the run is already published, in which case aggregate and render are skipped.
        file_names: the names of the files with rows, in order; empty if the run is already published. If a workbook
            exceeds Excel's limits, it continues in additional files, which are not listed here.
        cached_files: the files that an earlier run rendered from the same rows, in order.
        summaries_with_rows: whether the workbook with the rows also contains the summaries, which render then needs.
    """

    run_key: str
    already_published: bool
    file_names: tuple[str, ...]
    cached_files: tuple[RenderedFile, ...] = ()
    summaries_with_rows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedRun:
    """A run that is ready to render: its rows are in the store, and its layout is decided."""

    plan: RunPlan
    partitions: tuple[StagedPartition, ...]
    layout: RunLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class LaidOutRun:
    """A staged run, and a group of workbooks for each render task; no groups if the run is already published."""

    run: StagedRun
    groups: tuple[tuple[WorkbookShard, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementUsage:
    """A statement that a task executed, with ``?`` for each value, and the totals over all its calls."""

    sql: str
    calls: int
    rows: int
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUsage:
    """The resources that a task used.

    Args:
        stage: the pipeline stage.
        task: the name of the task's input, such as a partition's key.
        units: the number of partitions or files.
        rows: the number of rows that the task read or wrote.
        bytes: the number of bytes that the task wrote to the store.
        seconds: the elapsed time.
        cpu_seconds: the CPU time across all threads.
        peak_rss_bytes: the process's peak resident memory.
        statements: the statements that the task executed on the source.
    """

    stage: str
    task: str
    units: int
    rows: int
    bytes: int
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    statements: tuple[StatementUsage, ...] = ()
