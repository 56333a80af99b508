"""Tests size limits, names, totals, static sheets and reproducible bytes."""

from __future__ import annotations

import datetime as dt
import io
import itertools
import re
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from quire.errors import WorkbookError
from quire.xlsx.detail_sheets import Limits
from quire.xlsx.excel_limits import MAX_SHEET_ROWS
from quire.xlsx.model import DetailOutcome, SheetColumn, Workbook
from quire.xlsx.row_xml import size_bound

from tests.fast_mode import sized
from tests.xlsx.books import MADE_AT, ZONE, Files, about, book_of, by_openpyxl, calamine, cell, parts, write, write_rows

NUMBERS = pa.schema([("n", pa.int32())])
CELL = re.compile(rb'<c r="([A-Z]+)(\d+)"')


def numbers(count: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(range(count), pa.int32())], schema=NUMBERS)


def check_cells(sheet: bytes) -> None:
    """Checks that a sheet's cells are in order, unique and within the dimension."""
    dimension = re.search(rb'<dimension ref="A1(?::([A-Z]+)(\d+))?"/>', sheet)
    assert dimension, sheet[:500]
    last_column, last_row = (dimension[1] or b"A").decode(), int(dimension[2] or 1)
    positions = [(int(row), len(letters), letters.decode()) for letters, row in CELL.findall(sheet)]
    assert all(earlier < later for earlier, later in itertools.pairwise(positions))
    assert all(
        row <= last_row and (size, letters) <= (len(last_column), last_column) for row, size, letters in positions
    )


@pytest.mark.parametrize("detail_first", [True, False])
def test_write_workbook_parts_are_well_formed_and_cells_in_order(detail_first: bool) -> None:
    count = sized(20_000, fast=5_000)
    rows = [
        {"n": number, "s": f"<{number % 3}>", "d": None if number % 2 else dt.date(2013, 1, 1)}
        for number in range(count)
    ]
    schema = pa.schema([("n", pa.int32()), ("s", pa.string()), ("d", pa.date32())])
    body, _ = write_rows(rows, schema, detail_first=detail_first, limits=Limits(sheet_rows=count // 2 - 1_000))
    for name, part in parts(body).items():
        ElementTree.fromstring(part)  # noqa: S314 - written by Quire
        if name.startswith("xl/worksheets/sheet"):
            check_cells(part)


@pytest.mark.parametrize("rows", [0, 1, 8_191, 8_192, 8_193])
def test_write_workbook_rows_around_batch_size_are_all_written(rows: int) -> None:
    files, outcomes = write(book_of([numbers(rows)], NUMBERS))
    assert [row[0] for row in calamine(files.bodies[0])] == ["n", *range(rows)]
    assert outcomes == (DetailOutcome(rows=rows, sheets=("Rows",), notes=()),)


@pytest.mark.parametrize(("full_sheets", "more_rows"), [(1, 0), (1, 1), (2, 1)])
def test_write_workbook_rows_beyond_sheet_limit_begin_another_sheet(full_sheets: int, more_rows: int) -> None:
    limit = sized(MAX_SHEET_ROWS, fast=MAX_SHEET_ROWS // 16)
    limits = None if limit == MAX_SHEET_ROWS else Limits(sheet_rows=limit)
    rows, sheets = full_sheets * (limit - 1) + more_rows, full_sheets + bool(more_rows)
    files, (outcome,) = write(book_of([numbers(rows)], NUMBERS), limits=limits)
    assert outcome.rows == rows
    assert outcome.sheets == ("Rows", "Rows (2)", "Rows (3)")[:sheets]
    package = parts(files.bodies[0])
    header = re.search(rb'<row r="1".*?</row>', package["xl/worksheets/sheet1.xml"])
    assert header
    assert b"<si><t>n</t></si>" in package["xl/sharedStrings.xml"].partition(b"</si>")[0] + b"</si>"
    assert b't="s"><v>0</v></c></row>' in header[0]
    for number in range(1, sheets + 1):
        sheet = package[f"xl/worksheets/sheet{number}.xml"]
        assert sheet.partition(b"<sheetData>")[2].startswith(header[0] + b'<row r="2">')
        last_row = min(rows - (number - 1) * (limit - 1), limit - 1) + 1
        assert sheet.count(b"<row ") == last_row
        assert f'<dimension ref="A1:A{last_row}"/>'.encode() in sheet[:2000]
        assert f'<autoFilter ref="A1:A{last_row}">'.encode()[:-1] in sheet[-3000:]
    last = package[f"xl/worksheets/sheet{sheets}.xml"]
    assert f"<v>{rows - 1}</v></c></row></sheetData>".encode() in last


def test_write_workbook_bytes_beyond_sheet_limit_begin_another_sheet() -> None:
    files, (outcome,) = write(book_of([numbers(100_000)], NUMBERS), limits=Limits(sheet_bytes=30_000_000))
    assert len(outcome.sheets) == 1
    files, (outcome,) = write(book_of([numbers(100_000)], NUMBERS), limits=Limits(sheet_bytes=6_000_000))
    assert len(outcome.sheets) > 1
    values = [row[0] for name in outcome.sheets for row in calamine(files.bodies[0], name)[1:]]
    assert values == list(range(100_000))


def test_write_workbook_bytes_beyond_file_limit_begin_another_file() -> None:
    count = sized(200_000, fast=50_000)
    batch = pa.RecordBatch.from_arrays([pa.array([f"{number:x}" * 3 for number in range(count)])], ["v"])
    limits = Limits(sheet_rows=count // 10, file_bytes=10 * count)
    files, outcomes = write(book_of([batch], batch.schema), limits=limits)
    assert len(files.bodies) > 1
    assert all(len(body) <= 10 * count + 100_000 for body in files.bodies)
    assert sum(outcome.rows for outcome in outcomes) == count
    values = [
        row[0]
        for body, outcome in zip(files.bodies, outcomes, strict=True)
        for name in outcome.sheets
        for row in calamine(body, name)[1:]
    ]
    assert values == batch.column(0).to_pylist()
    assert all(calamine(body, "About") for body in files.bodies)


def test_write_workbook_sheet_is_filled_up_to_its_actual_bytes() -> None:
    limit = 6_000_000
    files, (outcome,) = write(book_of([numbers(400_000)], NUMBERS), limits=Limits(sheet_bytes=limit))
    package = parts(files.bodies[0])
    sizes = [len(package[f"xl/worksheets/sheet{number}.xml"]) for number in range(1, len(outcome.sheets) + 1)]
    assert len(sizes) > 2
    # The upper bound on a single batch's size is a third of the limit.
    assert all(0.6 * limit < size <= limit for size in sizes[:-1])


def test_write_workbook_file_is_filled_up_to_its_compressed_bytes() -> None:
    limit = 8_000_000
    batch = pa.RecordBatch.from_arrays([pa.array([f"{number:x}" * 3 for number in range(900_000)])], ["v"])
    files, outcomes = write(book_of([batch], batch.schema), limits=Limits(shared_rows=0, file_bytes=limit))
    assert sum(outcome.rows for outcome in outcomes) == 900_000
    assert [outcome.sheets for outcome in outcomes] == [("Rows",)] * len(files.bodies)
    assert len(files.bodies) > 1
    assert all(len(body) <= limit for body in files.bodies)
    assert len(files.bodies[0]) > 0.5 * limit


@pytest.mark.parametrize("total", [None, "sum"])
def test_dimension_of_sheet_ended_by_bytes_is_correct_or_omitted(total: str | None) -> None:
    columns = [SheetColumn(name="n", title="n", total=total)]
    limits = Limits(sheet_bytes=6_000_000)
    count = sized(400_000, fast=200_000)
    files, (outcome,) = write(book_of([numbers(count)], NUMBERS, columns=columns), limits=limits)
    package = parts(files.bodies[0])
    for number in range(1, len(outcome.sheets) + 1):
        sheet = package[f"xl/worksheets/sheet{number}.xml"]
        rows = sheet.count(b"<row ")
        assert re.findall(rb"<dimension[^>]*>", sheet) in ([], [f'<dimension ref="A1:A{rows}"/>'.encode()])
        filtered = rows - bool(total and number == len(outcome.sheets))
        assert f'<autoFilter ref="A1:A{filtered}"'.encode() in sheet
    assert calamine(files.bodies[0], outcome.sheets[0])[:2] == [["n"], [0.0]]


def test_size_bound_text_longer_than_a_cell_counts_up_to_the_limit() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["x" * 40_000_000, None, "y"])], ["v"])
    assert size_bound(batch) == 3 * 2 * 120 + 7 * 32_768


def test_write_workbook_same_rows_in_other_batches_yield_same_bytes() -> None:
    schema = pa.schema([("n", pa.int64()), ("s", pa.string()), ("f", pa.float64())])
    rows = [{"n": number, "s": f"t{number % 900}", "f": number / 7} for number in range(30_000)]
    batch = pa.RecordBatch.from_pylist(rows, schema)
    pieces = [batch.slice(start, 777) for start in range(0, 30_000, 777)]
    first, second = (write(book_of(batches, schema))[0].bodies[0] for batches in ([batch], pieces))
    assert first == second
    assert first == write(book_of([batch], schema))[0].bodies[0]


def test_write_workbook_error_in_batches_propagates_and_ends_threads() -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        for _ in range(20):
            yield numbers(8_192)
        raise RuntimeError("the store is gone")

    book = book_of([numbers(8_192)] * 100, NUMBERS)
    assert book.detail is not None
    files = Files()
    detail = type(book.detail)(
        sheet_name="Rows", columns=book.detail.columns, schema=NUMBERS, rows=819_200, batches=broken
    )
    workbook = Workbook(
        title="t", subject="s", made_at=MADE_AT, timezone=ZONE, detail=detail, static_sheets=about, detail_first=True
    )
    from quire.xlsx.workbook import write_workbook

    with pytest.raises(RuntimeError, match="the store is gone"):
        write_workbook(workbook, files.open)
    assert (files.opened, files.bodies) == (1, [])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("render", "read-ahead"))]


@pytest.mark.parametrize("announced", [5, 20_000])
def test_write_workbook_row_count_differs_from_announced_raises(announced: int) -> None:
    book = book_of([numbers(10_000)], NUMBERS)
    assert book.detail is not None
    detail = type(book.detail)(
        sheet_name="Rows", columns=book.detail.columns, schema=NUMBERS, rows=announced, batches=book.detail.batches
    )
    workbook = Workbook(
        title="t", subject="s", made_at=MADE_AT, timezone=ZONE, detail=detail, static_sheets=about, detail_first=True
    )
    with pytest.raises(WorkbookError, match=f"expected {announced} rows"):
        write(workbook)


def totals(kind: pa.DataType, values: list[Any], function: str, **options: Any) -> tuple[Any, Any, DetailOutcome]:
    """Returns the formula and cached value for a column's total, and the outcome."""
    schema = pa.schema([("label", pa.string()), ("v", kind)])
    columns = [SheetColumn(name="label", title="L"), SheetColumn(name="v", title="V", total=function, **options)]
    body, outcome = write_rows([{"label": "x", "v": value} for value in values], schema, columns=columns)
    row = len(values) + 2
    assert cell(body, f"A{row}").value == "Total"
    return cell(body, f"B{row}").value, by_openpyxl(body)[-1][1], outcome


@pytest.mark.parametrize(
    ("function", "number", "cached"),
    [("sum", 109, 7), ("mean", 101, 3.5), ("min", 105, 3), ("max", 104, 4), ("count", 103, 2)],
)
def test_total_of_numbers_is_subtotal_formula_with_cached_value(function: str, number: int, cached: float) -> None:
    formula, value, outcome = totals(pa.int32(), [3, None, 4], function)
    assert formula == f"=SUBTOTAL({number},B2:B4)"
    assert value == cached
    assert outcome.notes == ()


def test_total_of_decimals_is_exact() -> None:
    _, value, _ = totals(pa.decimal128(12, 2), [Decimal("0.10")] * 3, "sum")
    assert value == 0.3


def test_total_of_numbers_written_as_text_is_a_value_with_a_note() -> None:
    formula, value, outcome = totals(pa.int64(), [10**15, 1], "sum")
    assert (formula, value) == (str(10**15 + 1), str(10**15 + 1))
    assert outcome.notes == (
        "V: 1 number is written as text because Excel cannot represent it exactly; "
        "the total is exact but does not change when you filter.",
    )
    formula, value, _ = totals(pa.string(), ["1.5", "NaN"], "max", numeric_text=True)
    assert (formula, value) == (1.5, 1.5)


def test_total_without_rows_is_zero_or_empty() -> None:
    assert totals(pa.int32(), [], "sum")[:2] == (0, 0)  # a formula would refer to the total's own cell
    assert totals(pa.int32(), [], "mean")[:2] == (None, None)


def test_total_max_of_dates_is_a_date() -> None:
    _, value, _ = totals(pa.date32(), [dt.date(2013, 1, 2), dt.date(2013, 1, 1)], "max")
    assert value == dt.datetime(2013, 1, 2)  # noqa: DTZ001


def test_document_properties_have_title_and_creation_time() -> None:
    body, _ = write_rows([{"n": 1}], NUMBERS)
    properties = openpyxl.load_workbook(io.BytesIO(body)).properties
    assert (properties.title, properties.created) == ("A book", MADE_AT.replace(tzinfo=None))


def test_print_setup_of_detail_sheet_is_landscape_and_one_page_wide() -> None:
    page = cell(write_rows([{"n": 1}], NUMBERS)[0], "A1").parent
    assert (page.page_setup.orientation, page.page_setup.fitToHeight) == ("landscape", 0)
    assert page.oddFooter.right.text == "Page &P of &N"


@pytest.mark.parametrize("detail_first", [True, False])
def test_static_sheets_after_rows_with_shared_strings_show_their_texts(detail_first: bool) -> None:
    rows = [{"v": f"t{number % 5}"} for number in range(600)]
    body, _ = write_rows(rows, pa.schema([("v", pa.string())]), detail_first=detail_first)
    assert [row for row in calamine(body, "About") if row[0] != ""] == [
        ["A book", ""],
        ["of tests", ""],
        ["Facts", ""],
        ["Rows", 600.0],
        ["Sheets", "Rows"],
    ]
    assert calamine(body)[:3] == [["v"], ["t0"], ["t1"]]


@pytest.mark.parametrize("name", ["Other", "OTHER"])
def test_detail_sheet_named_like_template_placeholder_reads_back(name: str) -> None:
    body, outcome = write_rows([{"n": 1}], pa.schema([("n", pa.int32())]), sheet_name=name, detail_first=False)
    assert outcome.sheets == (name,)
    assert calamine(body, name) == [["n"], [1]]
