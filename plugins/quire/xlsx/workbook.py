"""Streams a workbook: rows are rendered, compressed and written while more rows are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from quire.errors import WorkbookError
from quire.xlsx.detail_sheets import DetailWriter, Limits
from quire.xlsx.excel_limits import MAX_SHEET_COLUMNS
from quire.xlsx.model import DetailOutcome, OpenFile, Workbook
from quire.xlsx.package import CountedSink, Part, write_package
from quire.xlsx.package_parts import merge_parts, rename_sheets
from quire.xlsx.read_ahead import read_ahead
from quire.xlsx.row_batches import DetailRows, even_batches
from quire.xlsx.totals_row import Totals
from quire.xlsx.widths import column_widths
from quire.xlsx.workbook_template import build_book

RENDERERS = min(2, os.cpu_count() or 1)
READ_AHEAD = 2


def write_workbook(
    workbook: Workbook, open_file: OpenFile, *, limits: Limits | None = None
) -> tuple[DetailOutcome, ...]:
    """Writes a workbook as one file, or as several files if the rows do not fit in one.

    A sheet has at most 1,048,576 rows and less than 4 GiB of XML; a file is smaller than 4 GiB. The same rows produce
    the same bytes, regardless of how they are divided into batches.

    Args:
        workbook: the workbook to write.
        open_file: a function that opens the n-th file, counted from 0.
        limits: the limits for sheets and files; tests pass smaller ones.

    Returns:
        The outcome for each file's rows.

    Raises:
        WorkbookError: the rows exceed a workbook's limits, or there are more or fewer rows than announced.
    """
    detail = workbook.detail
    if detail is None:
        with open_file(0) as sink:
            outcome = DetailOutcome(rows=0, sheets=(), notes=())
            static_sheets = rename_sheets(workbook.static_sheets(outcome), set())
            parts = build_book(workbook, (), (), static_sheets=static_sheets, opens_with_rows=False)
            write_package(
                iter((name, (body,)) for name, body in parts.items()), CountedSink(sink), made_at=workbook.made_at
            )
        return (outcome,)
    if not 1 <= len(detail.columns) <= MAX_SHEET_COLUMNS:
        raise WorkbookError(f"a sheet has 1 to {MAX_SHEET_COLUMNS:,} columns, not {len(detail.columns):,}")
    outcomes: list[DetailOutcome] = []
    with (
        read_ahead(even_batches(detail), depth=READ_AHEAD) as batches,
        ThreadPoolExecutor(RENDERERS, thread_name_prefix="render") as pool,
    ):
        rows, totals = DetailRows(detail, batches), Totals(detail)
        widths = column_widths(detail.columns, detail.schema, rows.peek())
        while not outcomes or rows.left:
            with open_file(len(outcomes)) as sink:
                counted = CountedSink(sink)
                writer = DetailWriter(
                    workbook, widths, rows, totals=totals, pool=pool, sink=counted, limits=limits or Limits()
                )
                write_package(_parts(writer), counted, made_at=workbook.made_at)
            outcomes.append(writer.outcome())
            totals.end_file()
        rows.finish()
    return tuple(outcomes)


def _parts(writer: DetailWriter) -> Iterator[Part]:
    """Yields a file's parts: those that do not depend on the rows, then the detail sheets, and finally the rest."""
    workbook = writer.workbook
    yield from writer.opening
    yield from writer.sheets()
    static_sheets = rename_sheets(workbook.static_sheets(writer.outcome()), writer.taken_names)
    opens_with_rows = workbook.detail_first or not static_sheets
    parts = build_book(
        workbook, writer.widths, writer.written, static_sheets=static_sheets, opens_with_rows=opens_with_rows
    )
    yield from merge_parts(parts, writer.strings, details=len(writer.written), rows_first=opens_with_rows)
