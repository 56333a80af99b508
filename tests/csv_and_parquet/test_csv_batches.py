"""Rows are converted to CSV a few megabytes at a time, regardless of the batch size."""

from __future__ import annotations

import pyarrow as pa
import pytest
from quire.csv_and_parquet import write_csv
from quire.csv_and_parquet.csv_file import MAX_BATCH_BYTES
from quire.xlsx.model import SheetColumn

COLUMNS = (SheetColumn(name="s", title="s"),)


class Writes:
    """A sink that records the number of bytes and lines in each write."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.lines: list[int] = []

    def write(self, data: bytes) -> int:
        self.sizes.append(len(data))
        self.lines.append(data.count(b"\r\n"))
        return len(data)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([f"{n:020000d}" for n in range(2_000)], id="long"),
        pytest.param(["x" * (20_000_000 if n == 1_000 else n % 7) for n in range(9_000)], id="one longer than a batch"),
        pytest.param(["x" * (100_000 if n < 100 else 1) for n in range(9_000)], id="long ones first"),
    ],
)
def test_write_csv_of_a_large_batch_converts_bounded_pieces(texts: list[str]) -> None:
    sink = Writes()
    batch = pa.record_batch({"s": texts})
    assert write_csv(iter([batch]), COLUMNS, timezone="UTC", sink=sink) == len(texts)
    line_ends = 2 * max(sink.lines)
    large = [lines for size, lines in zip(sink.sizes, sink.lines, strict=True) if size > MAX_BATCH_BYTES + line_ends]
    assert large in ([], [1])
    assert sum(sink.lines) == len(texts) + 1  # the header


def test_write_csv_of_small_batches_converts_each_at_once() -> None:
    sink = Writes()
    batches = [pa.record_batch({"s": ["x"] * 1_000})] * 3
    assert write_csv(iter(batches), COLUMNS, timezone="UTC", sink=sink) == 3_000
    assert sink.lines == [1, 1_000, 1_000, 1_000]
