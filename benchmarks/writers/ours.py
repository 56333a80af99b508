"""Writes with Quire's own writer: ``ours.py TABLE.parquet OUT.xlsx ROWS``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from quire.allocator_settings import configure_process
from quire.xlsx.model import DetailTable, SheetColumn, Workbook
from quire.xlsx.workbook import write_workbook

BATCH_ROWS = 8_192


def storable(kind: pa.DataType) -> pa.DataType:
    """Returns the type that the extract stage would store."""
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    return pa.timestamp("us") if pa.types.is_timestamp(kind) else kind


def main(table: Path, out: Path, rows: int) -> None:
    file = pq.ParquetFile(table)
    schema = pa.schema([(field.name, storable(field.type)) for field in file.schema_arrow])
    rows = min(rows, file.metadata.num_rows)

    def batches() -> Iterator[pa.RecordBatch]:
        left = rows
        for group in range(file.num_row_groups):  # like the render stage, avoids holding all rows in memory
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group]):
                yield batch.slice(0, left).cast(schema)
                left -= batch.num_rows
                if left <= 0:
                    return

    @contextmanager
    def open_file(number: int) -> Iterator[BinaryIO]:
        with out.with_stem(f"{out.stem}{number or ''}").open("wb") as sink:
            yield sink

    detail = DetailTable(
        sheet_name=table.stem,
        columns=tuple(SheetColumn(name=name, title=name) for name in schema.names),
        schema=schema,
        rows=rows,
        batches=batches,
    )
    workbook = Workbook(
        title=table.stem,
        subject="",
        made_at=datetime(2026, 1, 1, tzinfo=UTC),
        timezone="UTC",
        detail=detail,
        static_sheets=lambda outcome: (),
    )
    write_workbook(workbook, open_file)


if __name__ == "__main__":
    configure_process()
    started = time.perf_counter()
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    print("seconds", time.perf_counter() - started)
