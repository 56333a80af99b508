"""In CSV files of random tables, an independent parser finds the values that an independent formatter produces."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quire.csv_and_parquet import write_csv
from quire.xlsx.model import SheetColumn

from tests.fast_mode import examples

EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock's
DAY = 86_400_000_000
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
TRAPS = st.sampled_from(["", '"', '""', ",", "\r", "\n", "\r\n", " ", "NULL", "=1", "\ufeff", "a,b", 'a"b', ";", "\t"])
MOMENTS = st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29))  # noqa: DTZ001
WHOLE = MOMENTS.map(lambda moment: moment.replace(microsecond=0))
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "bool": (pa.bool_(), st.booleans()),
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "decimal": (pa.decimal128(20, 4), st.decimals(1 - 10**16, 10**16 - 1, places=4, allow_nan=False)),
    "float": (pa.float64(), st.floats() | st.integers(-(10**6), 10**6).map(float)),
    "text": (pa.string(), TEXT | st.lists(TRAPS, max_size=4).map("".join)),
    "date": (pa.date32(), st.dates()),
    "wall": (pa.timestamp("us"), MOMENTS | WHOLE),
    "instant": (pa.timestamp("us", tz="UTC"), MOMENTS | WHOLE),
    "time": (pa.time64("us"), st.integers(0, DAY) | st.integers(0, 86_400).map(lambda second: second * 1_000_000)),
}
ZONES = st.sampled_from(["UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "America/Caracas"])


def fraction(microseconds: int) -> str:
    return f".{microseconds:06d}".rstrip("0") if microseconds else ""


def moment_text(moment: dt.datetime) -> str:
    return moment.replace(microsecond=0, tzinfo=None).isoformat(" ") + fraction(moment.microsecond)


def expected(kind: str, value: Any, zone: str) -> str | None:
    match kind:
        case _ if value is None:
            return None
        case "bool":
            return "true" if value else "false"
        case "decimal":
            return f"{value:.4f}"
        case "date":
            return str(value.isoformat())
        case "wall":
            return moment_text(value)
        case "instant":
            local = value.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone))
            end = local.isoformat()[-9:]
            offset = re.search(r"[-+]\d\d(:\d\d)*$", end)
            assert offset
            return moment_text(local) + re.sub(r":00$", "", offset[0])
        case "time":
            clock = value // 1_000_000
            return f"{clock // 3600:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}" + fraction(value % 1_000_000)
    return str(value)


def parse(body: bytes) -> Iterator[list[str | None]]:
    """Parses RFC 4180. An empty, unquoted field is NULL."""
    text = body.decode("utf-8")
    assert text.startswith("\ufeff")
    record: list[str | None] = []
    place = 1
    while place < len(text):
        field = re.compile(r'"((?:[^"]|"")*)"(?=,|\r\n)|([^",\r\n]*)(?=,|\r\n)').match(text, place)
        assert field, text[place : place + 20]
        record.append(field[1].replace('""', '"') if field[1] is not None else field[2] or None)
        place = field.end()
        if text[place] == ",":
            place += 1
        else:
            yield record
            record, place = [], place + 2


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    return kinds, draw(st.lists(st.tuples(*(st.none() | KINDS[kind][1] for kind in kinds)).map(list), max_size=10))


def column_of(kind: str, values: list[Any]) -> pa.Array:
    if kind == "time":
        return pa.array(values, pa.int64()).view(KINDS[kind][0])
    return pa.array(values, KINDS[kind][0])


@given(tables(), ZONES)
@settings(deadline=None, max_examples=examples(300))
def test_csv_file_contains_any_table(table: tuple[list[str], list[list[Any]]], zone: str) -> None:
    kinds, rows = table
    names = [f"{number} {kind}" for number, kind in enumerate(kinds)]
    arrays = [column_of(kind, [row[place] for row in rows]) for place, kind in enumerate(kinds)]
    batch = pa.RecordBatch.from_arrays(arrays, names)
    sink = io.BytesIO()
    columns = [SheetColumn(name=name, title=name) for name in names]
    batches = [batch.slice(0, 3), batch.slice(3)]
    assert write_csv(iter(batches), columns, timezone=zone, sink=sink) == len(rows)
    header, *lines = parse(sink.getvalue())
    assert header == names
    for row, fields in zip(rows, lines, strict=True):
        for kind, value, field in zip(kinds, row, fields, strict=True):
            if kind == "float" and value is not None:
                assert same_float(value, field or "")
            else:
                assert field == expected(kind, value, zone), (kind, value)


def same_float(value: float, field: str) -> bool:
    if not math.isfinite(value):
        return field == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    plain = value == 0 or 1e-4 <= abs(value) < 1e15
    return float(field) == value and ("e" in field) is not plain and not field.endswith(".0")


@pytest.mark.parametrize("title", ["a,b", 'say "x"', "", "\n"])
def test_title_is_quoted_like_values(title: str) -> None:
    sink = io.BytesIO()
    write_csv(
        iter(()), [SheetColumn(name="a", title=title), SheetColumn(name="b", title="B")], timezone="UTC", sink=sink
    )
    assert list(parse(sink.getvalue())) == [[title, "B"]]


@pytest.mark.parametrize("escape_formulas", [False, True])
def test_csv_escapes_formulas_only_in_texts_and_only_if_enabled(escape_formulas: bool) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "1-1", "", None, "a,=1"]
    table = pa.table(
        {
            "text": pa.array(texts),
            "numeric": pa.array(["-1.5"] * len(texts)),
            "number": pa.array([-1] * len(texts)),
            "when": pa.array([dt.date(2013, 1, 1)] * len(texts)),
        }
    )
    columns = [
        SheetColumn(name="text", title="=title"),
        SheetColumn(name="numeric", title="numeric", numeric_text=True),
        SheetColumn(name="number", title="number"),
        SheetColumn(name="when", title="when"),
    ]
    sink = io.BytesIO()
    write_csv(iter(table.to_batches()), columns, timezone="UTC", sink=sink, escape_formulas=escape_formulas)
    header, *rows = csv.reader(io.StringIO(sink.getvalue().decode("utf-8-sig"), newline=""))
    begins = ("=", "+", "-", "@", "\t", "\r")
    mark = "'" if escape_formulas else ""
    assert header == [f"{mark}=title", "numeric", "number", "when"]
    assert [row[0] for row in rows] == [
        f"{mark}{text}" if text and text.startswith(begins) else text or "" for text in texts
    ]
    assert {tuple(row[1:]) for row in rows} == {("-1.5", "-1", "2013-01-01")}
