"""Writes the detail sheets of one file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

from quire.errors import WorkbookError
from quire.human_readable import format_count
from quire.xlsx.excel_limits import MAX_SHEET_ROWS
from quire.xlsx.model import DetailOutcome, Workbook
from quire.xlsx.names import sheet_name
from quire.xlsx.package import WRITE_BYTES, CountedSink, Part
from quire.xlsx.row_batches import DetailRows
from quire.xlsx.row_xml import RenderedRows, RowRenderer, size_bound
from quire.xlsx.shared_strings import SharedStrings
from quire.xlsx.totals_row import Totals
from quire.xlsx.workbook_template import (
    DetailSheet,
    SheetFrame,
    cut_frame,
    has_totals,
    without_dimension,
)
from quire.xlsx.xml_text import MAX_TEXT_LENGTH

IN_FLIGHT = 4  # number of batches that are rendered but not yet compressed
BUFFERED_BYTES = WRITE_BYTES + 256 * 1024  # the archive and its compressor may buffer this many bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The maximum sizes of a sheet and a file.

    Args:
        sheet_rows: the maximum number of rows per sheet, including the header and totals; Excel's limit by default.
        sheet_bytes: a sheet's maximum XML size, below ZIP's limit of 4 GiB per entry.
        file_bytes: the maximum file size, below ZIP's limit of 4 GiB to leave room for the parts after the rows.
        shared_rows: the largest number of rows for which all strings are shared; some programs do not display inline
            strings.
    """

    sheet_rows: int = MAX_SHEET_ROWS
    sheet_bytes: int = 4 * 2**30 - 64 * 2**20
    file_bytes: int = 4 * 2**30 - 256 * 2**20
    shared_rows: int = 65_536


class DetailWriter:
    """Writes detail sheets into one file until all rows are written or the file is full.

    Args:
        workbook: a workbook with detail rows.
        widths: the detail columns' widths.
        rows: the remaining rows.
        totals: the totals over all files.
        pool: the threads that render batches.
        sink: receives the file.
        limits: the limits for the sheets and the file.
    """

    def __init__(
        self,
        workbook: Workbook,
        widths: Sequence[float],
        rows: DetailRows,
        *,
        totals: Totals,
        pool: ThreadPoolExecutor,
        sink: CountedSink,
        limits: Limits,
    ) -> None:
        if workbook.detail is None:
            raise WorkbookError("the workbook has no detail rows, so it cannot have a detail sheet")
        self.workbook, self.detail, self.widths = workbook, workbook.detail, widths
        self._rows, self._totals, self._pool, self._sink, self._limits = rows, totals, pool, sink, limits
        self.written: list[DetailSheet] = []
        self.taken_names: set[str] = set()
        self._frames: dict[DetailSheet, SheetFrame] = {}
        first = self._frame(self._plan(sheet_name(self.detail.sheet_name, set())))
        self.opening = first.opening
        self.strings = SharedStrings(first.strings)
        self._renderer = RowRenderer(
            self.detail,
            first.styles,
            timezone=workbook.timezone,
            strings=self.strings,
            share_all=self.detail.rows <= limits.shared_rows,
        )
        self._cut = [0] * len(self.detail.columns)
        self._row_bytes = 0.0

    def sheets(self) -> Iterator[Part]:
        """Yields the detail sheets; there is at least one, even without rows."""
        while True:
            number = len(self.written) + 1
            name = sheet_name(self.detail.sheet_name, self.taken_names, number=number)
            yield f"xl/worksheets/sheet{number}.xml", self._sheet(name)
            batch = self._rows.peek()
            if batch is None or size_bound(batch) > self._remaining_bytes():
                return

    def outcome(self) -> DetailOutcome:
        """Returns the number of rows and the sheet names so far, with notes about changed values."""
        notes = [
            f"{column.title}: {format_count(cut, 'value')} exceeded the limit of {MAX_TEXT_LENGTH:,} characters per "
            f"cell and {'was' if cut == 1 else 'were'} truncated."
            for column, cut in zip(self.detail.columns, self._cut, strict=True)
            if cut
        ]
        return DetailOutcome(
            rows=sum(sheet.rows for sheet in self.written),
            sheets=tuple(sheet.name for sheet in self.written),
            notes=(*notes, *self._totals.notes()) if not self._rows.left else tuple(notes),
        )

    def _frame(self, sheet: DetailSheet) -> SheetFrame:
        """Returns a sheet's frame. Keeps it until the sheet is written, because XlsxWriter takes 5 ms to create it."""
        if sheet not in self._frames:
            opens = self.workbook.detail_first and not self.written
            self._frames = {sheet: cut_frame(self.workbook, self.widths, sheet, opens=opens)}
        return self._frames[sheet]

    def _plan(self, name: str) -> DetailSheet:
        """Returns the next sheet as it will be if it reaches no limit in bytes."""
        capacity = self._capacity()
        is_last = has_totals(self.detail) and self._rows.left <= capacity
        return DetailSheet(name, min(self._rows.left, capacity), totals=is_last)

    def _capacity(self) -> int:
        """Returns how many rows the next sheet can hold, not counting the last sheet's totals row."""
        max_rows = self._limits.sheet_rows - 1
        return max_rows - 1 if has_totals(self.detail) and self._rows.left == max_rows else max_rows

    def _sheet(self, name: str) -> Iterator[bytes | memoryview]:
        planned = self._plan(name)
        frame = self._frame(planned)
        batches = self._render_rows(self._capacity())
        first = list(islice(batches, 1))
        yield frame.before if self._has_room(planned.rows, first) else without_dimension(frame.before)
        rows = 0
        for rendered in chain(first, batches):
            rows += rendered.rows
            for position, column in enumerate(rendered.columns):
                self._cut[position] += column.cut
            self._totals.add(rendered.columns)
            yield rendered.xml
        sheet = DetailSheet(name, rows, totals=has_totals(self.detail) and not self._rows.left)
        frame = self._frame(sheet)
        self._totals.end_sheet(name, rows)
        if sheet.totals:
            yield self._totals.row(rows + 2, frame.totals, frame.label).encode()
        yield frame.after
        self.written.append(sheet)
        self._frames.clear()

    def _has_room(self, planned: int, first: Sequence[RenderedRows]) -> bool:
        """Returns whether all planned rows are certain to fit in the next sheet.

        Assumes that the planned rows take, on average, at most twice as many bytes as the rows so far. The dimension is
        optional, and a wrong dimension is worse than none.
        """
        for rendered in first:
            self._row_bytes = max(self._row_bytes, len(rendered.xml) / rendered.rows)
        available = min(self._limits.sheet_bytes, self._remaining_bytes())
        return planned == sum(rendered.rows for rendered in first) or 2 * planned * self._row_bytes <= available

    def _remaining_bytes(self) -> int:
        """Returns how many bytes of XML are certain to fit in the file, even if they do not compress."""
        return self._limits.file_bytes - self._sink.bytes - BUFFERED_BYTES

    def _render_rows(self, capacity: int) -> Iterator[RenderedRows]:
        """Yields one sheet's rows, which the pool renders in advance.

        The number of batches rendered in advance is fixed, so thread timing does not affect which row is a sheet's
        last. Near a limit, pending batches are written before new batches are taken, because a batch's actual size is
        far below its upper bound.
        """
        pending: deque[tuple[Future[RenderedRows], int]] = deque()
        rows = size = 0
        while True:
            while rows < capacity and len(pending) < IN_FLIGHT and (batch := self._rows.peek()) is not None:
                bound = size_bound(batch)
                pending_bytes = sum(pending_bound for _, pending_bound in pending) + bound
                if rows and pending_bytes > min(self._limits.sheet_bytes - size, self._remaining_bytes()):
                    break
                taken = self._rows.take(capacity - rows)
                render = self._renderer.prepare(taken, rows + 2)
                rows += taken.num_rows
                pending.append((self._pool.submit(render), bound))
            if not pending:
                return
            rendered = pending.popleft()[0].result()
            size += len(rendered.xml)
            yield rendered
