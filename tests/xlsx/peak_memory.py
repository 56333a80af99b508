"""Script: writes a workbook, and prints the process's peak memory in MiB."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from quire.allocator_settings import configure_process
from quire.xlsx.model import DetailTable, SheetColumn, Workbook
from quire.xlsx.workbook import write_workbook

BATCH_ROWS = 256
TEXT_BYTES = 20_000


class NullSink:
    """A sink that discards the bytes that it receives."""

    def write(self, data: bytes, /) -> None:
        """Discards the next bytes."""


@contextmanager
def open_null_sink(_: int) -> Iterator[NullSink]:
    """Opens a file that discards the bytes that it receives."""
    yield NullSink()


def many_floats() -> pa.RecordBatch:
    """Returns a batch of rows, each with 500 numbers."""
    return pa.RecordBatch.from_arrays([pc.random(BATCH_ROWS) for _ in range(500)], [f"c{n}" for n in range(500)])


def long_texts() -> pa.RecordBatch:
    """Returns a batch of rows, each with two strings of 20 kB; all strings are different and need escaping."""
    texts = [f"{number} & " + "x" * TEXT_BYTES for number in range(2 * BATCH_ROWS)]
    return pa.RecordBatch.from_arrays([pa.array(texts[::2]), pa.array(texts[1::2])], ["a", "b"])


def longest_escapes() -> pa.RecordBatch:
    """Returns a batch of rows, each with a string of 20 kB that is seven times as long in XML."""
    texts = [str(number) + "\x01" * TEXT_BYTES for number in range(BATCH_ROWS)]
    return pa.RecordBatch.from_arrays([pa.array(texts)], ["a"])


CASES = {"many_floats": many_floats, "long_texts": long_texts, "longest_escapes": longest_escapes}


def main(case: str, batches: int) -> None:
    """Writes the workbook for a case."""
    make = CASES[case]
    batch = make()
    detail = DetailTable(
        sheet_name="Rows",
        columns=tuple(SheetColumn(name=name, title=name) for name in batch.schema.names),
        schema=batch.schema,
        rows=batch.num_rows * batches,
        batches=lambda: (make() for _ in range(batches)),
    )
    made_at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    book = Workbook(title="t", subject="s", made_at=made_at, timezone="UTC", detail=detail, static_sheets=lambda _: ())
    write_workbook(book, open_null_sink)
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    print(int(peak.split()[1]) // 1024)


if __name__ == "__main__":
    configure_process()
    main(sys.argv[1], int(sys.argv[2]))
