"""Limits the size of summaries on pages and in notifications, because a few kB of Parquet can expand to gigabytes."""

from __future__ import annotations

import io
import threading
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store import Store
from quire.record_types.stage_records import StagedSummary
from quire.report.definition import ReportDefinition
from quire.tables_and_charts.summary_sheets import sheet_schema, summary_sheets
from quire.xlsx.excel_limits import MAX_SHEET_ROWS
from quire.xlsx.model import TableSheet

MAX_STORED_BYTES = 32 * 1024 * 1024
MAX_FIXED_BYTES = 32  # per value; the largest decimal's size
MAX_TABLE_BYTES = 128 * 1024 * 1024  # for all columns, without compression and dictionaries
MAX_FIRST_BYTES = 8 * 1024 * 1024  # for the rows that a page shows
_DECODING = threading.Lock()  # a process decodes only one file at a time, because each file may need MAX_TABLE_BYTES


def small_summary_sheets(
    definition: ReportDefinition, summaries: Sequence[StagedSummary], *, store: Store
) -> tuple[TableSheet, ...]:
    """Returns the same sheets as ``summary_sheets``, but rejects summaries that are too large to display.

    Raises:
        DamagedObjectError: a summary is missing or damaged.
        IntegrityError: a summary is too large.
    """
    for summary in summaries:
        ensure_small_object(summary)
    return summary_sheets(definition, summaries, store=store, ensure=ensure_small_table)


def ensure_small_object(summary: StagedSummary) -> None:
    """Checks that a summary's object is small enough to read.

    Raises:
        IntegrityError: the object is too large.
    """
    if summary.bytes > MAX_STORED_BYTES:
        raise IntegrityError(f"{summary.object_key} has {summary.bytes} bytes: too large to display")


def read_first_rows(
    summary: StagedSummary, columns: Collection[str], count: int, *, store: Store
) -> tuple[pa.Table, int]:
    """Returns a summary's first rows and its total number of rows, without decoding the other rows.

    Args:
        summary: one of a run's summaries.
        columns: the names of the columns to return; missing columns are ignored.
        count: how many rows to return.
        store: the object store.

    Raises:
        DamagedObjectError: the summary is missing or damaged.
        IntegrityError: the summary is too large.
    """
    ensure_small_object(summary)
    body = store.read_verified(summary.object_key, sha256=summary.sha256, size=summary.bytes)
    try:
        with _DECODING:
            return _decode_first_rows(pa.py_buffer(body), summary.object_key, columns, count=count)
    except pa.ArrowException as error:
        raise _damaged_object(summary.object_key) from error


def _decode_first_rows(body: pa.Buffer, key: str, columns: Collection[str], *, count: int) -> tuple[pa.Table, int]:
    with pq.ParquetFile(pa.BufferReader(body)) as file:
        footer, stored = file.metadata, file.schema_arrow
    text_columns = _text_columns(footer, key)
    stored = pa.schema([field for field in stored if field.name in columns])
    batches, rows = [], 0
    with pq.ParquetFile(pa.BufferReader(body), read_dictionary=text_columns, pre_buffer=False) as file:
        for batch in file.iter_batches(count, columns=stored.names, use_threads=False):
            batches.append(batch.slice(0, count - rows))
            rows += batches[-1].num_rows
            if rows == count:
                break
    columns_of_batches = (pa.chunked_array([column]) for batch in batches for column in batch.columns)
    if sum(map(_expanded_bytes, columns_of_batches)) > MAX_FIRST_BYTES:
        raise IntegrityError(f"{key} has over {MAX_FIRST_BYTES} bytes in its first rows: too large to display")
    table = pa.Table.from_batches(batches) if batches else stored.empty_table()
    return table.cast(sheet_schema(stored)), footer.num_rows


def _damaged_object(key: str) -> DamagedObjectError:
    return DamagedObjectError(f"{key} is damaged: it is not a Parquet file")


def ensure_small_table(body: bytes, key: str) -> None:
    """Checks that the table in a Parquet file is small enough, based on the file's footer and dictionaries.

    Raises:
        DamagedObjectError: the object is not a Parquet file.
        IntegrityError: the table is too large.
    """
    try:
        text_columns = _text_columns(pq.read_metadata(io.BytesIO(body)), key)
        table = pq.read_table(io.BytesIO(body), columns=text_columns, read_dictionary=text_columns)
        if sum(map(_expanded_bytes, table.itercolumns())) > MAX_TABLE_BYTES:
            raise IntegrityError(f"{key} has over {MAX_TABLE_BYTES} bytes of text: too large to display")
    except pa.ArrowException as error:
        raise _damaged_object(key) from error


def _text_columns(footer: pq.FileMetaData, key: str) -> list[str]:
    """Checks a table's size in its Parquet file's footer, and returns the names of the text columns.

    Raises:
        IntegrityError: the table is too large.
    """
    columns = [footer.schema.column(position) for position in range(footer.num_columns)]
    uncompressed = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    is_plain = all(column.max_repetition_level == 0 and column.length <= MAX_FIXED_BYTES for column in columns)
    if footer.num_rows > MAX_SHEET_ROWS or uncompressed > MAX_TABLE_BYTES or not is_plain:
        raise IntegrityError(f"{key} has {footer.num_rows} rows and {uncompressed} bytes: too large to display")
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _expanded_bytes(column: pa.ChunkedArray) -> int:
    """Returns a column's size in bytes; a value that occurs several times is counted each time."""
    total = 0
    for chunk in column.chunks:
        if isinstance(chunk, pa.DictionaryArray):
            lengths = compute.binary_length(chunk.dictionary.cast(pa.large_binary()))
            total += compute.sum(lengths.cast(pa.int64()).take(chunk.indices)).as_py() or 0
        else:
            total += chunk.nbytes
    return total
