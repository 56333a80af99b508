"""Any table can be read back as documented, and exactly like a table that XlsxWriter wrote cell by cell."""

from __future__ import annotations

import datetime as dt
import io
import math
import struct
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pyarrow as pa
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from quire.output_values.unrepresentable_dates import date_text, timestamp_text
from quire.xlsx.detail_sheets import Limits
from quire.xlsx.model import SheetColumn
from quire.xlsx.xml_text import cut_text

from tests.fast_mode import examples
from tests.xlsx.books import ZONE, calamine, write_rows

DAY = 86_400_000_000
FIRST = dt.date(1900, 3, 1)
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - local time
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
TRAPS = st.sampled_from(
    ["_x0041_", "_x005F_", "=1+1", "-1", " ", "\n", "\r", "\t", "\x01", "\ufffe", "a\r\nb", "1e5", "😀"]
)
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "bool": (pa.bool_(), st.booleans()),
    "int16": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-1000, 1000)),
    "decimal": (pa.decimal128(20, 4), st.decimals(1 - 10**16, 10**16 - 1, places=4, allow_nan=False)),
    "float": (pa.float64(), st.floats()),
    "text": (pa.string(), TEXT | TRAPS | st.lists(TRAPS, max_size=4).map("".join)),
    "date": (pa.date32(), st.dates()),
    "wall": (pa.timestamp("us"), st.datetimes()),
    "instant": (pa.timestamp("us", tz="UTC"), st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29)).map(lambda t: t.replace(tzinfo=dt.UTC))),  # noqa: DTZ001, E501
    "time": (pa.time64("us"), st.times()),
    "numeric": (pa.string(), st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20).map(lambda d: f"{d:f}") | st.sampled_from(["NaN", "Infinity", "-Infinity"])),  # noqa: E501
    "float32": (pa.float32(), st.floats(width=32)),
    "wide": (pa.decimal128(38, 10), st.decimals(1 - 10**27, 10**27 - 1, places=10, allow_nan=False) | st.decimals(-99, 99, places=10)),  # noqa: E501
    "any date": (pa.date32(), st.integers(-(2**31), 2**31 - 1) | st.integers(-800_000, 3_000_000) | st.sampled_from([-(2**31), 2**31 - 1])),  # noqa: E501
    "any wall": (pa.timestamp("us"), st.integers(1 - 2**63, 2**63 - 1) | st.integers(-800_000 * DAY, 3_000_000 * DAY) | st.sampled_from([1 - 2**63, 2**63 - 1])),  # noqa: E501
    "any time": (pa.time64("us"), st.integers(0, DAY) | st.sampled_from([0, DAY - 1, DAY])),
}  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Schema, list[dict[str, Any]]]:
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6))
    names = [f"{number} {kind}" for number, kind in enumerate(kinds)]
    row = st.fixed_dictionaries({name: st.none() | KINDS[kind][1] for name, kind in zip(names, kinds, strict=True)})
    schema = pa.schema([(name, KINDS[kind][0]) for name, kind in zip(names, kinds, strict=True)])
    rows = draw(st.lists(row, max_size=12))
    return schema, [{name: row[name] for name in names} for row in rows]  # in the columns' order


def digits(number: Decimal) -> int:
    return len(number.normalize().as_tuple().digits)


def expected(kind: str, value: Any) -> Any:
    """Returns the value that a cell has according to the documentation."""
    match kind:
        case _ if value is None:
            return None
        case "int64" | "int16":
            return float(value) if abs(value) < 10**15 else str(value)
        case "decimal":
            return float(value) if digits(value) <= 15 else f"{value:.4f}"
        case "numeric":
            number = Decimal(value)
            return float(value) if number.is_finite() and digits(number) <= 15 else value
        case "float":
            return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity"}.get(str(value), "-Infinity")
        case "date":
            return value if value >= FIRST else value.isoformat()
        case "wall" | "instant":
            return expected_time(value)
        case "text":
            return cut_text(value)
    return expected_physical(kind, value)


def expected_physical(kind: str, value: Any) -> Any:
    """Returns the documented value for a cell whose type Python lacks; dates and times are in days or microseconds."""
    match kind:
        case "time":
            return min(value, dt.time(23, 59, 59, 999_000))
        case "float32":
            return expected("float", shortest(value))
        case "wide":
            return float(value) if digits(value) <= 15 else f"{value:.10f}"
        case "any date":
            is_in_range = (FIRST - EPOCH.date()).days <= value <= (dt.date.max - EPOCH.date()).days
            return EPOCH.date() + dt.timedelta(value) if is_in_range else date_text(value)
        case "any wall":
            is_in_range = (FIRST - EPOCH.date()).days <= value // DAY <= (dt.date.max - EPOCH.date()).days
            return (
                expected_time(EPOCH + dt.timedelta(microseconds=value)) if is_in_range else timestamp_text(value, None)
            )
        case "any time":
            return (EPOCH + dt.timedelta(microseconds=min(value, DAY - 1000))).time() if value < DAY else "24:00:00"
    return value


def shortest(value: float) -> float:
    """Returns the shortest decimal number that is equal to a 4-byte float."""
    if not math.isfinite(value):
        return value
    candidates = (float(f"{value:.{places}g}") for places in range(1, 10))
    return next(number for number in candidates if to_float32(number) == value)


def to_float32(number: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.inf


def expected_time(value: dt.datetime) -> Any:
    zone = ZONE if value.tzinfo else None
    local = value.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None) if value.tzinfo else value
    if local.date() >= FIRST:
        return local.replace(microsecond=local.microsecond // 1000 * 1000)
    instant = value.replace(tzinfo=None)
    return timestamp_text((instant - EPOCH) // dt.timedelta(microseconds=1), zone)


def is_close(actual: Any, expected_value: Any) -> bool:
    """Returns whether a cell has the expected value; libraries differ in how they represent times of day."""
    if expected_value is None:
        return actual in ("", None)
    if isinstance(expected_value, dt.datetime):
        if type(actual) is dt.date:  # calamine's midnight
            actual = dt.datetime(actual.year, actual.month, actual.day)  # noqa: DTZ001
        return isinstance(actual, dt.datetime) and abs(actual - expected_value) < dt.timedelta(microseconds=500)
    if isinstance(expected_value, dt.date):
        return (
            isinstance(actual, dt.date)
            and (actual.date() if isinstance(actual, dt.datetime) else actual) == expected_value
        )
    if isinstance(expected_value, dt.time):
        return (
            microseconds(actual) is not None
            and abs((microseconds(actual) or 0) - (microseconds(expected_value) or 0)) < 1500
        )
    if isinstance(expected_value, bool):
        return actual is expected_value
    if isinstance(actual, float) and isinstance(expected_value, float):
        # XlsxWriter writes 16 digits and Quire up to 17, so XlsxWriter's largest floats are read as infinite
        return math.isclose(actual, expected_value, rel_tol=1e-15) or (
            math.isinf(expected_value) and abs(actual) > 1.79e308
        )
    return bool(actual == expected_value) and isinstance(actual, str) == isinstance(expected_value, str)


def microseconds(value: Any) -> int | None:
    if isinstance(value, dt.timedelta):
        return value // dt.timedelta(microseconds=1)
    if isinstance(value, dt.time | dt.datetime):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    return 0 if value == 0 else None


def columns_of(schema: pa.Schema) -> list[SheetColumn]:
    return [SheetColumn(name=name, title=name, numeric_text=name.endswith("numeric")) for name in schema.names]


def compare(rows: list[dict[str, Any]], table_rows: list[Any], *, undo: Any = lambda text: text) -> None:
    for row, cells in zip(rows, table_rows, strict=True):
        for (name, value), cell in zip(row.items(), cells, strict=True):
            kind = name.partition(" ")[2]
            expected_value = expected(kind, value)
            cell = undo(cell) if isinstance(cell, str) else cell
            assert is_close(cell, expected_value) or (expected_value == "" and cell in ("", None)), (
                name,
                value,
                cell,
                expected_value,
            )


@given(tables(), st.sampled_from([0, 100]))
@settings(deadline=None, max_examples=examples(150))
def test_write_workbook_any_table_reads_back_in_calamine(
    table: tuple[pa.Schema, list[dict[str, Any]]], shared_rows: int
) -> None:
    schema, rows = table
    body, outcome = write_rows(rows, schema, columns=columns_of(schema), limits=Limits(shared_rows=shared_rows))
    assert outcome.rows == len(rows)
    table_rows = calamine(body)[1:]
    blank = [""] * len(schema.names)  # calamine omits trailing rows without cells
    compare(
        rows,
        [[*row, *blank][: len(blank)] for row in [*table_rows, *[blank] * len(rows)][: len(rows)]],
        undo=unescape_noncharacters,
    )


def unescape_noncharacters(text: str) -> str:
    return text.replace("_xFFFE_", "\ufffe").replace("_xFFFF_", "\uffff")


@given(tables(), st.sampled_from([0, 100]))
@settings(deadline=None, max_examples=examples(100))
def test_write_workbook_any_table_reads_back_in_openpyxl_like_xlsxwriters(
    table: tuple[pa.Schema, list[dict[str, Any]]], shared_rows: int
) -> None:
    schema, rows = table
    body, _ = write_rows(rows, schema, columns=columns_of(schema), limits=Limits(shared_rows=shared_rows))
    ours = openpyxl.load_workbook(io.BytesIO(body), data_only=True)["Rows"]
    reference = openpyxl.load_workbook(io.BytesIO(write_by_xlsxwriter(schema, rows)), data_only=True)["Rows"]
    for number in range(2, len(rows) + 2):
        for column in range(1, len(schema.names) + 1):
            actual, reference_cell = ours.cell(number, column), reference.cell(number, column)
            assert actual.data_type == reference_cell.data_type or reference_cell.value in (None, ""), (
                actual.value,
                reference_cell.value,
            )
            if isinstance(actual.value, str):
                # openpyxl removes x005F_ from shared strings but not from inline strings
                assert reference_cell.value in (actual.value, actual.value.replace("x005F_", ""))
            else:
                assert is_close(actual.value, reference_cell.value) or reference_cell.value == ""


def write_by_xlsxwriter(schema: pa.Schema, rows: list[dict[str, Any]]) -> bytes:
    """Returns a workbook that XlsxWriter wrote with the expected values."""
    body = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = xlsxwriter.Workbook(body, options)
    sheet = book.add_worksheet("Rows")
    formats = {
        dt.datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
        dt.date: book.add_format({"num_format": "yyyy-mm-dd"}),
        dt.time: book.add_format({"num_format": "hh:mm:ss"}),
    }
    for line, row in enumerate(rows, 1):
        for column, (name, value) in enumerate(row.items()):
            expected_value = expected(name.partition(" ")[2], value)
            if isinstance(expected_value, str):
                sheet.write_string(line, column, expected_value)
            elif type(expected_value) in formats:
                sheet.write_datetime(line, column, expected_value, formats[type(expected_value)])
            elif isinstance(expected_value, bool):
                sheet.write_boolean(line, column, expected_value)
            elif expected_value is not None:
                sheet.write_number(line, column, expected_value)
    book.close()
    return body.getvalue()
