"""Render: writes each shard's rows to files, and uploads each file while writing it."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from datetime import date, datetime

import pyarrow as pa

from quire.csv_and_parquet import write_csv, write_parquet
from quire.errors import ReportError, error_context
from quire.object_store import CONTENT_TYPES, Store, Upload
from quire.partition_cache.row_reader import read_rows
from quire.partition_cache.time_bounds import cut_slices, row_time_bounds
from quire.postgres.arrow_types import storage_schema
from quire.record_types.stage_records import RenderedFile, StagedRun, StagedSummary, WorkbookShard
from quire.report.definition import ReportDefinition, RowSplit
from quire.report.definition.workbook_options import FileFormat
from quire.runs.workbook_cache import commit_files, workbook_folder
from quire.tables_and_charts.about_sheet import about_sheet, rows_by_partition
from quire.tables_and_charts.detail_columns import detail_columns
from quire.tables_and_charts.summary_sheets import summary_sheets
from quire.xlsx.detail_sheets import Limits
from quire.xlsx.model import DetailOutcome, DetailTable, FactSheet, TableSheet, Workbook
from quire.xlsx.workbook import write_workbook

logger = logging.getLogger(__name__)


def render_workbooks(
    definition: ReportDefinition,
    run: StagedRun,
    shards: Sequence[WorkbookShard],
    *,
    summaries: Sequence[StagedSummary] = (),
    store: Store,
    limits: Limits | None = None,
    cancelled: threading.Event | None = None,
) -> tuple[RenderedFile, ...]:
    """Writes each shard in its file formats. Commits workbooks that other runs can use, so that they render them once.

    If an error occurs, deletes all files that it has written but not committed.

    Args:
        definition: the report.
        run: the staged run.
        shards: a group of the run's uncached workbooks.
        summaries: the run's summaries if the workbook contains them (``RunLayout.summaries_with_rows``).
        store: the store that holds the rows and receives the files.
        limits: the limits for sheets and workbooks; by default, Excel's limits.
        cancelled: set by another thread to end the work.

    Raises:
        CancelledError: ``cancelled`` was set.
        WorkbookError: the rows or summaries do not fit in a workbook.
        DamagedObjectError: stored rows or summaries are missing or damaged.
        StoreRefusedError, StoreUnavailableError: the store cannot be read from or written to.
    """
    files: list[RenderedFile] = []
    with error_context(report=definition.name), _all_or_none(store) as keys:
        for shard in shards:
            for file_format, key in shard.keys.items():
                began = time.monotonic()
                rendering = _Rendering(
                    definition, run, shard, file_format=file_format,
                    shared_key=key, summaries=summaries, store=store, keys=keys, limits=limits, cancelled=cancelled,
                )  # fmt: skip
                rendered = rendering.write()
                if key is not None:
                    for file in rendered:  # if the commit's response is lost, other runs may already use the files
                        keys.remove(file.key)
                    rendered = commit_files(store, definition.name, key, files=rendered)
                files += rendered
                for file in rendered:
                    logger.info("%s: %s rows, %s bytes", file.key, file.rows, file.bytes)
                logger.info("%s.%s in %.1f s", shard.stem, file_format, time.monotonic() - began)
    return tuple(files)


@contextmanager
def _all_or_none(store: Store) -> Iterator[list[str]]:
    """Yields a list to which the block adds the key of each object; if the block fails, deletes all of those objects.

    The block adds each key before the upload, because an upload may succeed even if the store's response is lost.
    """
    keys: list[str] = []
    try:
        yield keys
    except BaseException:
        try:
            store.delete(keys)
        except ReportError as error:  # `quire gc` will delete the files; the original error is more important
            logger.warning("files from a failed render could not be deleted: %s", error)
        raise


class _Rendering:
    """Writes one shard in one format, and adds each file's key to ``keys`` before it writes the file."""

    def __init__(
        self,
        definition: ReportDefinition,
        run: StagedRun,
        shard: WorkbookShard,
        *,
        file_format: FileFormat,
        shared_key: str | None,
        summaries: Sequence[StagedSummary],
        store: Store,
        keys: list[str],
        limits: Limits | None,
        cancelled: threading.Event | None,
    ) -> None:
        self.definition, self.run, self.shard, self.format, self.store = definition, run, shard, file_format, store
        self.summaries, self.keys, self.limits, self.cancelled = summaries, keys, limits, cancelled
        self.columns = detail_columns(definition, run.plan)
        self.is_shared = shared_key is not None
        own_folder = f"reports/{definition.name}/{run.layout.run_key}"
        parent = workbook_folder(definition.name, shared_key) if shared_key else own_folder
        self.folder = f"{parent}/{uuid.uuid4().hex}"
        self.uploads: list[tuple[str, str, Upload]] = []
        self.rows_before = 0  # rows in this shard's previous files

    def write(self) -> tuple[RenderedFile, ...]:
        outcomes = self._write_flat() if self.format != "xlsx" else self._write_workbook()
        files: list[RenderedFile] = []
        for (name, key, upload), outcome in zip(self.uploads, outcomes, strict=True):
            times = self._times(outcome.rows, skipped=sum(file.rows for file in files))
            start, end = self._dates(times, outcome.rows)
            files.append(
                RenderedFile(
                    name=name,
                    key=key,
                    rows=outcome.rows,
                    bytes=upload.bytes,
                    sha256=upload.sha256,
                    start=start,
                    end=end,
                    earliest=times[0].isoformat() if times else None,
                    latest=times[1].isoformat() if times else None,
                    notes=outcome.notes,
                )
            )
        return tuple(files)

    def _times(self, rows: int, *, skipped: int) -> tuple[date, date] | None:
        """Returns the earliest and latest times among the rows in one file."""
        return row_time_bounds(
            cut_slices(self.shard.slices, skipped=skipped, rows=rows),
            self.run.partitions,
            column=self.definition.source.time_column,
            timezone=self.definition.timezone,
            store=self.store,
        )

    def _dates(self, times: tuple[date, date] | None, rows: int) -> tuple[date, date]:
        """Returns the first and last date that a file covers.

        If a file has all of its shard's rows, it covers the shard's dates, unless the report splits by number of rows.
        Any other file covers the dates of its own rows.
        """
        is_whole = not isinstance(self.definition.workbook.split, RowSplit) and rows == self.shard.rows
        if times is None or is_whole:
            return self.shard.start, self.shard.end
        first, last = (time.date() if isinstance(time, datetime) else time for time in times)
        return first, last

    @contextmanager
    def _open_file(self, number: int) -> Iterator[Upload]:
        part = f"_part{number + 1}" if number else ""
        name = f"{self.shard.stem}{part}.{self.format}"
        key = f"{self.folder}/{name}"
        self.keys.append(key)
        with self.store.open_upload(key, content_type=CONTENT_TYPES[self.format]) as upload:
            self.uploads.append((name, key, upload))
            yield upload

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for batch in read_rows(self.store, self.shard.slices, [column.name for column in self.columns]):
            if self.cancelled and self.cancelled.is_set():
                raise CancelledError
            yield batch

    def _schema(self) -> pa.Schema:
        stored = storage_schema(self.run.plan.columns)
        return pa.schema([stored.field(column.name) for column in self.columns])

    def _write_flat(self) -> tuple[DetailOutcome, ...]:
        with self._open_file(0) as upload:
            if self.format == "csv":
                rows = write_csv(
                    self._batches(),
                    self.columns,
                    timezone=self.definition.timezone,
                    sink=upload,
                    escape_formulas=self.definition.workbook.csv.escape_formulas,
                )
            else:
                rows = write_parquet(self._batches(), self._schema(), sink=upload)
        return (DetailOutcome(rows=rows, sheets=(), notes=()),)

    def _write_workbook(self) -> tuple[DetailOutcome, ...]:
        workbook = Workbook(
            title=self.definition.title,
            subject=f"{self.shard.start} to {self.shard.end}",
            made_at=datetime.fromisoformat(self._made_at()),
            timezone=self.definition.timezone,
            detail=DetailTable(
                sheet_name=self.definition.title,
                columns=self.columns,
                schema=self._schema(),
                rows=self.shard.rows,
                batches=self._batches,
            ),
            static_sheets=self._static_sheets,
            detail_first=not self.run.layout.summaries_with_rows,
        )
        return write_workbook(workbook, self._open_file, limits=self.limits)

    def _made_at(self) -> str:
        """Returns when the run was requested, or when the rows of a shared workbook were read."""
        covered = {part.partition for part in self.shard.slices}
        snapshots = [part.snapshot_at for part in self.run.partitions if part.key in covered]
        made_at = self.run.plan.request.made_at
        return max(snapshots, default="") or made_at if self.is_shared else made_at

    def _static_sheets(self, outcome: DetailOutcome) -> tuple[FactSheet | TableSheet, ...]:
        rows = rows_by_partition(self.shard.slices, skipped=self.rows_before, rows=outcome.rows)
        self.rows_before += outcome.rows
        about = about_sheet(
            self.definition,
            self.run.plan.request,
            dates=(self.shard.start, self.shard.end),
            created=not self.is_shared,
            staged=self.run.partitions,
            rows=rows,
            contents={"Rows in this workbook": outcome.rows, "Data sheets": ", ".join(outcome.sheets)},
            notes=outcome.notes,
        )
        if not self.run.layout.summaries_with_rows:
            return (about,)
        return (about, *summary_sheets(self.definition, self.summaries, store=self.store))
