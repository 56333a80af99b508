"""Writes with XlsxWriter's constant_memory mode: ``xlsxwriter_constant.py TABLE.parquet OUT.xlsx ROWS``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}


def main(table: str, out: str, rows: int) -> None:
    file = pq.ParquetFile(table, pre_buffer=False)  # otherwise, pages that were already read stay in memory
    with xlsxwriter.Workbook(out, OPTIONS) as book:
        sheet = book.add_worksheet()
        writers = [writer(book, sheet, field.type) for field in file.schema_arrow]
        for column, name in enumerate(file.schema_arrow.names):
            sheet.write_string(0, column, name)
        for row, values in enumerate(islice(each_row(file), rows), 1):
            for column, ((write, look), value) in enumerate(zip(writers, values, strict=True)):
                if value is not None:
                    write(row, column, value, look)


def each_row(file: pq.ParquetFile) -> Iterator[tuple[Any, ...]]:
    for batch in file.iter_batches(8_192):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def writer(book: Any, sheet: Any, kind: pa.DataType) -> tuple[Callable[..., Any], Any]:
    """Returns the method that writes a column's values, and the cell format for the column's type, if any."""
    if pa.types.is_date(kind):
        return sheet.write_datetime, book.add_format({"num_format": "yyyy-mm-dd"})
    if pa.types.is_timestamp(kind):
        return sheet.write_datetime, book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    if pa.types.is_decimal(kind):
        return sheet.write_number, book.add_format({"num_format": "#,##0.00"})
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return (sheet.write_number if number else sheet.write_string), None


if __name__ == "__main__":
    started = time.perf_counter()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    print("seconds", time.perf_counter() - started)
