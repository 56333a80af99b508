"""Values in CSV files equal PostgreSQL's text output, and PostgreSQL's COPY can read the files."""

from __future__ import annotations

import io
import struct

import psycopg
import pyarrow as pa
import pytest
from quire.csv_and_parquet import write_csv
from quire.postgres import open_transaction
from quire.xlsx.model import SheetColumn

from tests.events import session_of

LITERALS = {
    "date": ["infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "0001-01-01", "0099-12-31", "1900-02-28",
             "9999-12-31", "10000-01-01", "123456-07-08", "5874897-12-31"],
    "timestamp": ["infinity", "-infinity", "0044-03-15 12:00 BC", "0001-01-01", "2013-03-10 02:30",
                  "2013-01-01 00:00:00.5", "2013-01-01 00:00:00.000001", "9999-12-31 23:59:59.999999", "10000-01-01",
                  "200000-02-29 01:02:03.4"],
    "timestamptz": ["infinity", "-infinity", "0044-03-15 12:00 BC", "0001-01-01", "1600-01-01", "1883-11-18 12:00",
                    "1945-08-14 23:00+00", "2013-03-10 01:59:59.9 EST", "2013-03-10 03:00 EDT", "2013-11-03 01:30 EDT",
                    "2013-11-03 01:30 EST", "2099-12-31 23:59:59", "2100-01-01", "2100-07-01", "2150-03-14 06:59:59+00",
                    "2150-03-14 07:00+00", "9999-12-31 23:59:59.999999+00", "10000-01-01", "12345-07-01",
                    "200000-07-01"],
    "time": ["00:00", "24:00", "12:34:56.5", "23:59:59.999999"],
    "float8": ["NaN", "Infinity", "-Infinity", "0", "-0", "1", "-1.5", "0.1", "0.0001", "0.00001", "123456.789",
               "100000000000000", "999999999999999", "1e15", "1234567890123456", "1e16", "1e100", "-2.5e-300", "5e-324",
               "1.7976931348623157e308"],
    "float4": ["NaN", "Infinity", "-Infinity", "0", "-0", "1", "0.1", "0.0001", "0.00001", "999999", "1e6", "1234567",
               "3.4028235e38", "1e-45"],
    "boolean": ["true", "false"],
    "bigint": ["-9223372036854775808", "9223372036854775807", "0"],
    "numeric(12,2)": ["-0.05", "1", "9999999999.99"],
    "numeric": ["NaN", "Infinity", "1e30", "0.000000001", "1.50"],
    "text": ["", " ", "a,b", 'say "x"', "\r", "\n", "a\r\nb", "\t", "é😀", "NULL", "=1+1", "\\N"],
    "bytea": ["\\x00ff"],
    "interval": ["1 year 2 days 03:04:05.6"],
    "text[]": ["{a,NULL,\"b,c\"}"],
    "jsonb": ['{"a": "x,\\"y"}'],
}  # fmt: skip
# n is between 1 and 2,000; the values are spread across each type's range
SPREAD = {
    "date": "DATE '2000-01-01' + (n * 1051 % 20011) * 107 - 1500000",
    "timestamp": "TIMESTAMP '2000-01-01' + ((n * 1051 % 20011) * 107 - 1000000) * interval '1 day 00:00:01.01'",
    "timestamptz": "TIMESTAMPTZ '2000-01-01' + (n * 1051 % 20011 - 9000) * interval '4 days 05:06:07.8'",
    "far timestamptz": "TIMESTAMPTZ '2100-01-01' + (n * 1051 % 20011) * interval '30 days 05:06:07'",
    "old timestamptz": "TIMESTAMPTZ '2000-01-01' - (n * 1051 % 20011) * interval '50 days 05:06:07'",
    "time": "TIME '00:00' + n * interval '43.199999 seconds'",
}


def csv_of(url: str, sql: str, *, timezone: str) -> bytes:
    """Returns a query's rows as a CSV file."""
    sink = io.BytesIO()
    with open_transaction(session_of(url, timezone=timezone)) as transaction:
        columns = transaction.columns(sql)
        batches = transaction.stream(sql, columns)
        write_csv(batches, [SheetColumn(name=c.name, title=c.name) for c in columns], timezone=timezone, sink=sink)
    return sink.getvalue()


def read_back(url: str, body: bytes, *, names: list[str]) -> list[tuple[str | None, ...]]:
    """Returns the fields of a CSV file as text, as read by PostgreSQL's COPY."""
    columns = ", ".join(f"{name} text" for name in names)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE found (number serial, {columns})")
        with cursor.copy(f"COPY found ({', '.join(names)}) FROM STDIN (FORMAT csv, HEADER, ENCODING 'UTF8')") as copy:
            copy.write(body.decode("utf-8-sig").encode())
        return cursor.execute(f"SELECT {', '.join(names)} FROM found ORDER BY number").fetchall()


def postgresql_text(url: str, sql: str, *, timezone: str) -> list[tuple[str | None, ...]]:
    """Returns a query's values as text that PostgreSQL formatted."""
    with psycopg.connect(url) as connection:
        connection.execute(f"SET timezone = '{timezone}'")
        return connection.execute(f"SELECT value::text FROM ({sql}) rows").fetchall()


def assert_same(url: str, sql: str, *, timezone: str) -> None:
    body = csv_of(url, sql, timezone=timezone)
    assert read_back(url, body, names=["value"]) == postgresql_text(url, sql, timezone=timezone)


@pytest.mark.parametrize("kind", LITERALS)
@pytest.mark.parametrize("timezone", ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_literal_equals_postgresql_output(fresh_database: str, kind: str, timezone: str) -> None:
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(f"SET timezone = '{timezone}'")
        connection.execute(f"CREATE TABLE odd (n serial, value {kind})")
        given = [(literal,) for literal in [*LITERALS[kind], None]]
        connection.cursor().executemany(f"INSERT INTO odd (value) VALUES (%s::text::{kind})", given)
    assert_same(fresh_database, "SELECT value FROM odd ORDER BY n", timezone=timezone)


@pytest.mark.parametrize("kind", SPREAD)
@pytest.mark.parametrize("timezone", ["America/New_York", "Europe/Berlin", "Asia/Tehran"])
def test_spread_values_equal_postgresql_output(fresh_database: str, kind: str, timezone: str) -> None:
    sql = f"SELECT {SPREAD[kind]} AS value FROM generate_series(1, 2000) n ORDER BY n"
    assert_same(fresh_database, sql, timezone=timezone)


@pytest.mark.parametrize("kind", ["float8", "float4"])
def test_spread_floats_equal_those_of_postgresql(fresh_database: str, kind: str) -> None:
    sql = f"SELECT (sin(n) * 10.0::float8 ^ (n % 40 - 20))::{kind} AS value FROM generate_series(1, 2000) n ORDER BY n"
    fields = read_back(fresh_database, csv_of(fresh_database, sql, timezone="UTC"), names=["value"])
    texts = postgresql_text(fresh_database, sql, timezone="UTC")
    differ = [(ours or "", theirs or "") for (ours,), (theirs,) in zip(fields, texts, strict=True) if ours != theirs]
    assert len(differ) < 20
    for ours, theirs in differ:  # PostgreSQL prints more digits if the shortest form lies halfway between two numbers
        assert len(ours) < len(theirs)
        assert ours[-4:] == theirs[-4:]
        assert as_bits(kind, ours) == as_bits(kind, theirs)


def as_bits(kind: str, text: str) -> bytes:
    return struct.pack("d" if kind == "float8" else "f", float(text))


def test_null_and_empty_text_differ_in_several_columns(fresh_database: str) -> None:
    body = csv_of(fresh_database, "SELECT NULL::text AS a, ''::text AS b, NULL::date AS c", timezone="UTC")
    assert body == b'\xef\xbb\xbfa,b,c\r\n,"",\r\n'
    assert read_back(fresh_database, body, names=["a", "b", "c"]) == [(None, "", None)]


def test_single_null_is_an_empty_line_and_an_empty_text_is_quoted(fresh_database: str) -> None:
    sql = "SELECT value FROM (VALUES (NULL), (''), (NULL), ('x'), (NULL)) rows(value)"
    body = csv_of(fresh_database, sql, timezone="UTC")
    assert body == b'\xef\xbb\xbfvalue\r\n\r\n""\r\n\r\nx\r\n\r\n'
    assert read_back(fresh_database, body, names=["value"]) == [(None,), ("",), (None,), ("x",), (None,)]


def test_no_rows_write_only_a_header(fresh_database: str) -> None:
    sql = "SELECT NULL::text AS value WHERE false"
    assert csv_of(fresh_database, sql, timezone="UTC") == b"\xef\xbb\xbfvalue\r\n"


def test_batch_of_no_rows_writes_nothing() -> None:
    sink = io.BytesIO()
    batch = pa.RecordBatch.from_pydict({"a": pa.array([], pa.timestamp("us", tz="UTC"))})
    assert write_csv(iter([batch]), [SheetColumn(name="a", title="A")], timezone="UTC", sink=sink) == 0
    assert sink.getvalue() == b"\xef\xbb\xbfA\r\n"
