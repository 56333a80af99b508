"""Summaries that are too large for a page or a notification: a few stored kB can expand to gigabytes of memory."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from quire.artifacts import StagedSummary
from quire.definition import ReportDefinition
from quire.errors import DamagedObjectError, IntegrityError
from quire.front_sheets import summary_sheets
from quire.object_store import ObjectStore
from quire.xlsx.model import TableSheet

MAX_STORED_BYTES = 32 * 1024 * 1024
MAX_TABLE_ROWS = 1_048_576  # of a sheet in Excel
MAX_FIXED_BYTES = 32  # of one value: a decimal has at most these
MAX_TABLE_BYTES = 128 * 1024 * 1024  # of all columns, uncompressed and without dictionaries


def small_summary_sheets(
    definition: ReportDefinition, summaries: Sequence[StagedSummary], *, store: ObjectStore
) -> tuple[TableSheet, ...]:
    """Returns a sheet for each summary, as ``summary_sheets`` does, of a size that a page or a notification can take.

    Raises:
        DamagedObjectError: a summary is no longer stored, or damaged.
        IntegrityError: a summary is too large.
    """
    for summary in summaries:
        if summary.bytes > MAX_STORED_BYTES:
            raise IntegrityError(f"{summary.object_key} has {summary.bytes} bytes: it is too large to be shown")
    return summary_sheets(definition, summaries, store=store, ensure=ensure_small_table)


def ensure_small_table(body: bytes, key: str) -> None:
    """Checks how large the table in a Parquet file is, by its footer, and then by its dictionaries.

    Raises:
        DamagedObjectError: it is not a Parquet file.
        IntegrityError: it is too large.
    """
    try:
        footer = pq.read_metadata(io.BytesIO(body))
        columns = [footer.schema.column(position) for position in range(footer.num_columns)]
        uncompressed = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        is_plain = all(column.max_repetition_level == 0 and column.length <= MAX_FIXED_BYTES for column in columns)
        if footer.num_rows > MAX_TABLE_ROWS or uncompressed > MAX_TABLE_BYTES or not is_plain:
            raise IntegrityError(f"{key} has {footer.num_rows} rows and {uncompressed} bytes: too large to be shown")
        texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
        table = pq.read_table(io.BytesIO(body), columns=texts, read_dictionary=texts)
        if sum(map(_expanded_bytes, table.itercolumns())) > MAX_TABLE_BYTES:
            raise IntegrityError(f"{key} has over {MAX_TABLE_BYTES} bytes of text: too large to be shown")
    except pa.ArrowException as error:
        raise DamagedObjectError(f"{key} is damaged: it is not a Parquet file") from error


def _expanded_bytes(column: pa.ChunkedArray) -> int:
    """Returns how many bytes a column's values have, each counted as often as it occurs."""
    total = 0
    for chunk in column.chunks:
        if isinstance(chunk, pa.DictionaryArray):
            lengths = compute.binary_length(chunk.dictionary.cast(pa.large_binary()))
            total += compute.sum(lengths.cast(pa.int64()).take(chunk.indices)).as_py() or 0
        else:
            total += chunk.nbytes
    return total
