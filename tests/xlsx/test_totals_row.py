"""Totals agree with the cells above them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from quire.xlsx.detail_sheets import Limits
from quire.xlsx.model import DetailOutcome, SheetColumn
from quire.xlsx.totals_row import FUNCTIONS

from tests.fast_mode import sized
from tests.xlsx.books import book_of, by_openpyxl, cell, write

DATE, WALL, INSTANT, TIME = pa.date32(), pa.timestamp("us"), pa.timestamp("us", tz="UTC"), pa.time64("us")
DAY = 86_400_000_000
IDES_OF_MARCH = -735_160  # 15 March 44 BC
FIRST_OF_2013 = 15_706


def batch_of(kind: pa.DataType, values: list[int | None]) -> pa.RecordBatch:
    physical = pa.array(values, pa.int32() if kind == DATE else pa.int64())
    return pa.RecordBatch.from_arrays([physical.view(kind)], schema=pa.schema([("v", kind)]))


def total_of(batches: list[pa.RecordBatch], function: str, **options: Any) -> tuple[Any, Any, DetailOutcome]:
    """Returns a total's formula or value, its cached value, and the outcome."""
    columns = [SheetColumn(name="v", title="V", total=function)]
    limits = options.pop("limits", None)
    files, (outcome,) = write(book_of(batches, batches[0].schema, columns=columns, **options), limits=limits)
    body, sheet = files.bodies[0], outcome.sheets[-1]
    rows = by_openpyxl(body, sheet)
    return cell(body, f"A{len(rows)}", sheet).value, rows[-1][0], outcome


@pytest.mark.parametrize(
    ("kind", "values", "minimum", "maximum"),
    [
        (DATE, [IDES_OF_MARCH, FIRST_OF_2013, 2**31 - 1], "0044-03-15 BC", "infinity"),
        (DATE, [-(2**31), FIRST_OF_2013, 2_932_897], "-infinity", "10000-01-01"),
        (DATE, [2**31 - 1, None, 2_932_897], "10000-01-01", "infinity"),
        (
            WALL,
            [IDES_OF_MARCH * DAY + 1, IDES_OF_MARCH * DAY + 2, 2**63 - 1],
            "0044-03-15 00:00:00.000001 BC",
            "infinity",
        ),
        (INSTANT, [-(2**63) + 1, FIRST_OF_2013 * DAY, 2**63 - 1], "-infinity", "infinity"),
        (TIME, [DAY, DAY], "24:00:00", "24:00:00"),
    ],
)
def test_extreme_of_unrepresentable_dates_is_their_text(
    kind: pa.DataType, values: list[int | None], minimum: str, maximum: str
) -> None:
    for function, expected in (("min", minimum), ("max", maximum)):
        for batches in ([batch_of(kind, values)], [batch_of(kind, [value]) for value in values]):
            written, cached, outcome = total_of(batches, function)
            assert written == cached == expected
            (note,) = outcome.notes
            assert re.search(r"because Excel cannot represent (it|them); the total is exact", note)


@pytest.mark.parametrize(
    ("kind", "unrepresentable", "function"),
    [(DATE, IDES_OF_MARCH, "max"), (DATE, 2**31 - 1, "min"), (WALL, 2**63 - 1, "min"), (TIME, DAY, "min")],
)
def test_extreme_representable_among_unrepresentable_dates_stays_a_date(
    kind: pa.DataType, unrepresentable: int, function: str
) -> None:
    representable = {DATE: FIRST_OF_2013, WALL: FIRST_OF_2013 * DAY, TIME: DAY // 2}[kind]
    alone = total_of([batch_of(kind, [representable])], function)
    _, cached, outcome = total_of([batch_of(kind, [representable, unrepresentable])], function)
    assert cached == alone[1]
    assert not isinstance(cached, str)
    assert outcome.notes == (
        "V: 1 value is written as text because Excel cannot represent it; the total is exact "
        "but does not change when you filter.",
    )


@pytest.mark.parametrize("function", ["sum", "mean"])
@pytest.mark.parametrize(
    ("kind", "values"), [(DATE, [IDES_OF_MARCH, FIRST_OF_2013]), (TIME, [DAY, 0]), (WALL, [2**63 - 1, 0])]
)
def test_sum_of_unrepresentable_dates_is_omitted_with_a_note(
    kind: pa.DataType, values: list[int | None], function: str
) -> None:
    written, _, outcome = total_of([batch_of(kind, values)], function)
    assert written is None
    assert outcome.notes == (
        f"V: 1 value is written as text because Excel cannot represent it; there is no {function}.",
    )


@pytest.mark.parametrize(
    ("batch", "function", "expected", "is_quoted"),
    [
        (batch_of(DATE, [-(2**31)]), "min", "-infinity", True),
        (batch_of(DATE, [2**31 - 1]), "max", "infinity", False),
        (pa.RecordBatch.from_arrays([pa.array([-(10**17), -1])], ["v"]), "sum", "-100000000000000001", True),
        (pa.RecordBatch.from_arrays([pa.array([10**17, 1])], ["v"]), "sum", "100000000000000001", False),
        (pa.RecordBatch.from_arrays([pa.array([-5, 1])], ["v"]), "sum", -4, False),
    ],
)
def test_total_written_as_text_is_quoted_if_it_begins_like_a_formula(
    batch: pa.RecordBatch, function: str, expected: Any, is_quoted: bool
) -> None:
    columns = [SheetColumn(name="v", title="V", total=function)]
    files, (outcome,) = write(book_of([batch], batch.schema, columns=columns))
    rows = by_openpyxl(files.bodies[0], outcome.sheets[-1])
    total = cell(files.bodies[0], f"A{len(rows)}", outcome.sheets[-1])
    assert rows[-1][0] == expected
    assert bool(total.quotePrefix) is is_quoted
    assert total.font.b


@pytest.mark.parametrize("function", ["min", "max", "mean", "sum"])
def test_total_of_float4_uses_the_shortest_digits(function: str) -> None:
    values = pa.RecordBatch.from_arrays([pa.array([0.1, None, 0.1], pa.float32())], ["v"])
    _, cached, _ = total_of([values], function)
    assert cached == (0.2 if function == "sum" else 0.1)


@pytest.mark.parametrize("function", ["sum", "count", "min", "max", "mean"])
def test_total_of_several_sheets_is_on_the_last_and_covers_all(function: str) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(range(25), pa.int32())], ["v"])
    formula, cached, outcome = total_of([batch], function, limits=Limits(sheet_rows=11), sheet_name="It's")
    assert outcome.sheets == ("It's", "It's (2)", "It's (3)")
    assert formula == f"=SUBTOTAL({FUNCTIONS[function]},'It''s'!A2:A11,'It''s (2)'!A2:A11,A2:A6)"
    assert cached == {"sum": 300, "count": 25, "min": 0, "max": 24, "mean": 12}[function]


def test_total_of_rows_that_fill_a_sheet_moves_last_row_to_another() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(range(10), pa.int32())], ["v"])
    _, cached, outcome = total_of([batch], "sum", limits=Limits(sheet_rows=11))
    assert len(outcome.sheets) == 2  # the last row moves to a new sheet, where the total fits
    assert cached == 45


def test_total_of_several_files_is_a_value_with_a_note() -> None:
    count = sized(200_000, fast=50_000)
    batch = pa.RecordBatch.from_arrays([pa.array([f"{number:x}" * 3 for number in range(count)])], ["v"])
    columns = [SheetColumn(name="v", title="V", total="count")]
    limits = Limits(file_bytes=10 * count, shared_rows=0)
    files, outcomes = write(book_of([batch], batch.schema, columns=columns), limits=limits)
    assert len(files.bodies) > 1
    assert by_openpyxl(files.bodies[-1])[-1] == (count,)
    assert cell(files.bodies[-1], f"A{outcomes[-1].rows + 2}").value == count
    assert [len(outcome.notes) for outcome in outcomes] == [0] * (len(outcomes) - 1) + [1]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("0.0", '"mean "0.0'),
        ("0.0;-0.0;0", '"mean "0.0;"mean "-0.0;"mean "0.0'),
        ("0", '"mean "0.0'),
        ("#,##0", '"mean "#,##0.0'),
        ('[$€-407] #,##0,," m0"', '"mean "[$€-407] #,##0.0,," m0"'),
        ("0%;[Red]-0%", '"mean "0.0%;[Red]"mean "-0.0%'),
        ("000-0000", '"mean "000-0000'),
        ("0E+00", '"mean "0E+00'),
        ("# ?/?", '"mean "# ?/?'),
        ("yyyy-mm-dd hh:mm:ss.000", '"mean "yyyy-mm-dd hh:mm:ss.000'),
        ("General", '"mean "General'),
        ("[Green]0.0;[Red][<-5]-0.0", '[Green]"mean "0.0;[Red][<-5]"mean "-0.0'),
        ('0" a;b";(0\\;)', '"mean "0.0" a;b";"mean "(0.0\\;)'),
        ("0;-0;;@", '"mean "0.0;"mean "-0.0;;"mean "@'),
        ("[h]:mm;[$€-407] 0_;", '"mean "[h]:mm;"mean "[$€-407] 0.0_;'),
    ],
)
def test_mean_format_names_the_function_in_every_section(code: str, expected: str) -> None:
    columns = [SheetColumn(name="v", title="V", total="mean", number_format=code)]
    batch = pa.RecordBatch.from_arrays([pa.array([-1.5, -2.5])], ["v"])
    files, _ = write(book_of([batch], batch.schema, columns=columns))
    assert cell(files.bodies[0], "A2").number_format == code
    assert cell(files.bodies[0], "A4").number_format == expected


def test_sum_of_booleans_is_a_number() -> None:
    batch = pa.record_batch({"v": pa.array([True, False, True])})
    columns = [SheetColumn(name="v", title="V", total="sum")]
    files, (outcome,) = write(book_of([batch], batch.schema, columns=columns))
    first, total = (cell(files.bodies[0], place, outcome.sheets[-1]) for place in ("A2", "A5"))
    assert (first.value, first.number_format) == (True, '"TRUE";"TRUE";"FALSE"')
    assert (total.value, total.number_format) == (2, "General")


@pytest.mark.parametrize(
    ("values", "total"),
    [
        (pa.array([999_999_999_999_999] * 3 + [1]), "2999999999999998"),
        (pa.array([Decimal("-9999999999999.99")] * 12, pa.decimal128(15, 2)), "-119999999999999.88"),
    ],
)
def test_exact_total_beyond_15_digits_is_text_with_a_note(values: pa.Array, total: str) -> None:
    written, cached, outcome = total_of([pa.RecordBatch.from_arrays([values], ["v"])], "sum")
    assert written == cached == total
    assert outcome.notes == (
        "V: the sum is written as text because Excel's numbers have at most 15 digits; it is exact "
        "but does not change when you filter.",
    )


@pytest.mark.parametrize(
    ("values", "function", "note"),
    [
        (pa.array([True, False, True]), "sum", "V: the total does not change when you filter."),
        (pa.array([1e308, 1e308]), "sum", "V: the total does not change when you filter."),
        (
            pa.array([10**17 + 1] * 2),
            "mean",
            "V: 2 numbers are written as text because Excel cannot represent them exactly; the total does not "
            "change when you filter.",
        ),
    ],
)
def test_total_without_equivalent_formula_has_a_note(values: pa.Array, function: str, note: str) -> None:
    *_, outcome = total_of([pa.RecordBatch.from_arrays([values], ["v"])], function)
    assert outcome.notes == (note,)


@pytest.mark.parametrize("function", ["sum", "mean", "min"])
def test_total_of_15_digits_is_a_formula(function: str) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([333_333_333_333_333] * 3)], ["v"])
    written, _, outcome = total_of([batch], function)
    assert written.startswith("=SUBTOTAL(")
    assert outcome.notes == ()
