"""The sheets of rows of one file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from quire.errors import WorkbookError
from quire.xlsx.model import DetailOutcome, DetailTable, Workbook
from quire.xlsx.names import column_letters, sheet_name
from quire.xlsx.package import CountedSink, Part
from quire.xlsx.rows import RenderedRows, RowRenderer, size_bound
from quire.xlsx.shared_strings import SharedStrings
from quire.xlsx.skeleton import MOST_ROWS, DetailSheet, SheetFrame, build_book, cut_frame, has_totals
from quire.xlsx.totals import Total

BATCH_ROWS = 8_192
IN_FLIGHT = 4  # batches that are rendered ahead of the deflater


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one sheet and one file hold at most: Excel's own rows; bytes below the 4 GiB of a ZIP archive's parts."""

    sheet_rows: int = MOST_ROWS
    sheet_bytes: int = 4 * 2**30 - 64 * 2**20
    file_bytes: int = 4 * 2**30 - 256 * 2**20


class DetailRows:
    """The rows that are still to be written, in batches of the same size however they came."""

    def __init__(self, detail: DetailTable, batches: Iterator[pa.RecordBatch]) -> None:
        self._detail = detail
        self._batches = self._even(batches)
        self._next: pl.DataFrame | None = None
        self.left = detail.rows

    def peek(self) -> pl.DataFrame | None:
        """Returns the next batch, which stays the next one; None at the end.

        Raises:
            WorkbookError: the end comes before all the rows that were counted.
        """
        if self._next is None:
            self._next = next(self._batches, None)
        if self._next is None and self.left:
            raise WorkbookError(f"there are {self.left} rows fewer than the {self._detail.rows} that were counted")
        return self._next

    def take(self, most: int) -> pl.DataFrame | None:
        """Returns the next batch, or as many of its rows as fit."""
        batch = self.peek()
        if batch is None or most <= 0:
            return None
        taken, rest = batch.head(most), batch.slice(most)
        self._next = rest if rest.height else None
        self.left -= taken.height
        if self.left < 0:
            raise WorkbookError(f"there are more rows than the {self._detail.rows} that were counted")
        return taken

    def finish(self) -> None:
        """Makes sure that all rows came."""
        if self.peek() is not None:
            raise WorkbookError(f"there are more rows than the {self._detail.rows} that were counted")

    def _even(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pl.DataFrame]:
        """Gives batches of ``BATCH_ROWS``, so that the same rows give the same bytes."""
        names = [column.name for column in self._detail.columns]
        waiting: list[pa.RecordBatch] = []
        rows = 0
        for batch in batches:
            waiting.append(batch.select(names))
            rows += batch.num_rows
            while rows >= BATCH_ROWS:
                table = pa.Table.from_batches(waiting)
                yield _frame(table.slice(0, BATCH_ROWS))
                rows -= BATCH_ROWS
                waiting = table.slice(BATCH_ROWS).to_batches()
        if rows:
            yield _frame(pa.Table.from_batches(waiting))


class DetailWriter:
    """Writes sheets of rows into one file until all rows are written or the file is full.

    Args:
        workbook: with rows.
        widths: of their columns.
        rows: what is to be written.
        pool: that renders.
        sink: of the file.
        limits: of sheets and file.
    """

    def __init__(
        self,
        workbook: Workbook,
        widths: Sequence[float],
        rows: DetailRows,
        pool: ThreadPoolExecutor,
        sink: CountedSink,
        limits: Limits,
    ) -> None:
        if workbook.detail is None:
            raise WorkbookError("a workbook without rows has no sheet of rows")
        self.workbook, self.detail, self.widths = workbook, workbook.detail, widths
        self._rows, self._pool, self._sink, self._limits = rows, pool, sink, limits
        self.written: list[DetailSheet] = []
        self.taken_names: set[str] = set()
        first = self._frame(sheet_name(self.detail.sheet_name, set()), 0)
        self.strings = SharedStrings(first.strings)
        self._renderer = RowRenderer(self.detail, first.styles, timezone=workbook.timezone, strings=self.strings)
        kinds = [self.detail.schema.field(column.name).type for column in self.detail.columns]
        self._totals = [
            Total(column.total, follows=not pa.types.is_boolean(kind)) if column.total else None
            for column, kind in zip(self.detail.columns, kinds, strict=True)
        ]
        self._cut = [0] * len(kinds)
        self._texts = [0] * len(kinds)
        self._bytes_of_sheet = 0

    def frame_parts(self) -> dict[str, bytes]:
        """Returns the parts of a workbook of one sheet, of which some are the whole workbook's too."""
        sheet = DetailSheet("Rows", 0)
        return build_book(self.workbook, self.widths, [sheet], [], opens_with_rows=True)

    def sheets(self) -> Iterator[Part]:
        """Gives the sheets of rows, at least one."""
        while True:
            number = len(self.written) + 1
            name = sheet_name(self.detail.sheet_name, self.taken_names, number=number)
            self._bytes_of_sheet = 0
            yield f"xl/worksheets/sheet{number}.xml", self._sheet(name)
            # The next sheet would be about as large; deflated it is never larger than it is now.
            if not self._rows.left or self._sink.bytes + self._bytes_of_sheet > self._limits.file_bytes:
                return

    def outcome(self) -> DetailOutcome:
        """Returns what became of the rows so far."""
        return DetailOutcome(
            rows=sum(sheet.rows for sheet in self.written),
            sheets=tuple(sheet.name for sheet in self.written),
            notes=tuple(self._notes()),
        )

    def _frame(self, name: str, rows: int) -> SheetFrame:
        opens = self.workbook.detail_first and not self.written
        return cut_frame(self.workbook, self.widths, DetailSheet(name, rows), opens=opens)

    def _sheet(self, name: str) -> Iterator[bytes | memoryview]:
        capacity = self._limits.sheet_rows - 1 - has_totals(self.detail)
        yield self._frame(name, min(self._rows.left, capacity)).before
        rows = 0
        for rendered in self._rendered(capacity):
            rows += rendered.rows
            self._bytes_of_sheet += len(rendered.xml)
            self._count(rendered)
            yield rendered.xml
        frame = self._frame(name, rows)
        if frame.totals:
            yield self._totals_row(frame, rows).encode()
        yield frame.after
        self.written.append(DetailSheet(name, rows))

    def _rendered(self, capacity: int) -> Iterator[RenderedRows]:
        """Gives the rows of one sheet, rendered ahead by the pool.

        How far ahead is fixed, so the sheet's last row is decided by the rows alone and not by the threads' speed.
        """
        limit = min(self._limits.sheet_bytes, self._limits.file_bytes - self._sink.bytes)
        waiting: deque[tuple[Future[RenderedRows], int]] = deque()
        rows = size = 0
        full = False
        while True:
            while not full and len(waiting) < IN_FLIGHT and (batch := self._rows.peek()) is not None:
                bound = size_bound(batch.head(capacity - rows))
                full = rows == capacity or (rows > 0 and size + sum(b for _, b in waiting) + bound > limit)
                if full:
                    break
                taken = self._rows.take(capacity - rows)
                if taken is None:
                    break
                render = self._renderer.prepare(taken, rows + 2)
                rows += taken.height
                waiting.append((self._pool.submit(render), bound))
            if not waiting:
                return
            rendered = waiting.popleft()[0].result()
            size += len(rendered.xml)
            yield rendered

    def _count(self, rendered: RenderedRows) -> None:
        for position, cells in enumerate(rendered.cells):
            self._cut[position] += cells.cut
            self._texts[position] += cells.texts
            total = self._totals[position]
            if total:
                total.add(cells)

    def _totals_row(self, frame: SheetFrame, rows: int) -> str:
        row = rows + 2
        cells = []
        for position, (total, style) in enumerate(zip(self._totals, frame.totals, strict=True)):
            letters = column_letters(position)
            if total:
                cells.append(total.xml(f"{letters}{row}", f"{letters}2:{letters}{max(2, row - 1)}", style))
                total.restart()
            elif position == 0 and frame.label is not None:
                cells.append(f'<c r="A{row}" s="{style}" t="s"><v>{frame.label}</v></c>')
            else:
                cells.append(f'<c r="{letters}{row}" s="{style}"/>')
        return f'<row r="{row}">{"".join(cells)}</row>'

    def _notes(self) -> Iterator[str]:
        for column, cut, texts in zip(self.detail.columns, self._cut, self._texts, strict=True):
            if cut:
                yield (
                    f"{column.title}: {cut:,} {'text is' if cut == 1 else 'texts are'} longer than the 32,767 "
                    "characters of a cell, and cut there."
                )
            if texts and column.total and column.total != "count":
                yield (
                    f"{column.title}: {texts:,} {'number is' if texts == 1 else 'numbers are'} written as text, since "
                    "no number of Excel's is the same; the total is exact, but does not follow the filter."
                )


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table.combine_chunks(), rechunk=True)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a table is a frame")
    return frame
