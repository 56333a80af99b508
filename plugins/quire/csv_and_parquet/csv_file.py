"""Writes rows as a CSV file (RFC 4180)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import polars as pl
import pyarrow as pa

from quire.output_values.postgresql_text import column_text
from quire.xlsx.model import SheetColumn, Sink
from quire.xlsx.xml_text import QUOTED

MAX_BATCH_BYTES = 4 * 1024 * 1024  # maximum size of the rows that are converted to text at once
BOM = b"\xef\xbb\xbf"  # without a BOM, Excel decodes the file with the system's code page


def write_csv(
    batches: Iterator[pa.RecordBatch],
    columns: Sequence[SheetColumn],
    *,
    timezone: str,
    sink: Sink,
    escape_formulas: bool = False,
) -> int:
    """Writes a CSV file with a byte order mark and returns the number of rows.

    Values have the format in which PostgreSQL prints them in a session with ``timezone``. As in PostgreSQL's COPY, NULL
    is an empty field and an empty string is ``""``. In a file with one column, NULL is an empty line.

    ``escape_formulas`` puts an apostrophe before values and titles that a spreadsheet would evaluate as formulas.
    """
    titles = [pl.Series([column.title]) for column in columns]
    sink.write(BOM + _lines([_escape_formulas(title) for title in titles] if escape_formulas else titles))
    rows = 0
    for batch in chain.from_iterable(map(_split, batches)):
        fields = [column_text(column, timezone=timezone) for column in batch.columns]
        if escape_formulas:
            fields = [
                _escape_formulas(field) if pa.types.is_string(values.type) and not column.numeric_text else field
                for field, values, column in zip(fields, batch.columns, columns, strict=True)
            ]
        sink.write(_lines(fields))
        rows += batch.num_rows
    return rows


def _split(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Halves a batch repeatedly until each piece has at most ``MAX_BATCH_BYTES`` bytes or a single row."""
    if batch.num_rows > 1 and batch.nbytes > MAX_BATCH_BYTES:
        middle = batch.num_rows // 2
        yield from _split(batch.slice(0, middle))
        yield from _split(batch.slice(middle))
    else:
        yield batch


def _escape_formulas(texts: pl.Series) -> pl.Series:
    """Puts an apostrophe before each value that a spreadsheet would evaluate as a formula."""
    is_formula = texts.str.contains(QUOTED)
    if not is_formula.any():
        return texts
    return pl.select(pl.when(is_formula).then("'" + texts).otherwise(texts)).to_series()


def _lines(fields: Sequence[pl.Series]) -> bytes:
    frame = pl.DataFrame([field.alias(str(position)) for position, field in enumerate(fields)])
    return frame.write_csv(None, include_header=False, line_terminator="\r\n", quote_style="necessary").encode()
