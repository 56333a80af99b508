"""PostgreSQL values, including extreme ones, are stored as Arrow types."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from quire.errors import QueryError
from quire.postgres import open_transaction
from quire.postgres.arrow_types import PG_TYPE, quote_identifier, storage_schema

from tests.events import ZONE, session_of


def store(url: str, sql: str, *, timezone: str = ZONE) -> pa.Table:
    """Returns a query's rows in the types that storage uses."""
    with open_transaction(session_of(url, timezone=timezone)) as transaction:
        columns = transaction.columns(sql)
        batches = list(transaction.stream(sql, columns))
    return pa.Table.from_batches(batches, storage_schema(columns))


@pytest.mark.parametrize(
    ("literal", "kind", "value"),
    [
        ("true", pa.bool_(), True),
        ("(-32768)::int2", pa.int16(), -32768),
        ("2147483647::int4", pa.int32(), 2147483647),
        ("(-9223372036854775808)::int8", pa.int64(), -9223372036854775808),
        ("1.5::float4", pa.float32(), 1.5),
        ("0.1::float8", pa.float64(), 0.1),
        ("'a'::varchar(3)", pa.string(), "a"),
        ("'a'::char(3)", pa.string(), "a  "),
        ("''::text", pa.string(), ""),
        ("12.50::numeric(12,2)", pa.decimal128(12, 2), Decimal("12.50")),
        ("12.50::numeric", pa.string(), "12.50"),
        ("'NaN'::numeric", pa.string(), "NaN"),
        ("12345::numeric(5,-2)", pa.string(), "12300"),
        ("(10::numeric ^ 45)::numeric(50,2)", pa.string(), f"1{'0' * 45}.00"),
        ("DATE '2013-03-10'", pa.date32(), dt.date(2013, 3, 10)),
        ("TIME '23:59:59.999999'", pa.time64("us"), dt.time(23, 59, 59, 999999)),
        ("'{a,NULL}'::text[]", pa.string(), "{a,NULL}"),
        ("'1 day 02:00'::interval", pa.string(), "1 day 02:00:00"),
        ("'{\"a\": 1}'::jsonb", pa.string(), '{"a": 1}'),
        ("'127.0.0.1'::inet", pa.string(), "127.0.0.1"),
        ("'\\x00ff'::bytea", pa.string(), "\\x00ff"),
        ("int4range(1, 5)", pa.string(), "[1,5)"),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", pa.string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("ROW(1, 'x')", pa.string(), "(1,x)"),
        ("4294967295::oid", pa.string(), "4294967295"),
        ("'(1,2)'::point", pa.string(), "(1,2)"),
        ("TIME WITH TIME ZONE '10:00+02'", pa.string(), "10:00:00+02"),
    ],
)
def test_value_is_stored_with_arrow_type_or_as_printed(
    fresh_database: str, literal: str, kind: pa.DataType, value: Any
) -> None:
    # A join preserves the type's modifier, which UNION would discard.
    sql = (
        f"SELECT value FROM (VALUES (1), (2)) n(n) LEFT JOIN LATERAL (SELECT {literal} AS value) v ON n = 1 ORDER BY n"
    )
    table = store(fresh_database, sql)
    assert table.schema.field("value").type == kind
    assert table["value"].to_pylist() == [value, None]


def test_timestamptz_is_stored_in_utc_and_timestamp_unchanged(fresh_database: str) -> None:
    table = store(
        fresh_database,
        "SELECT TIMESTAMPTZ '2013-03-10 03:00:00.000001 America/New_York' AS a, TIMESTAMP '2013-03-10 02:30' AS b",
    )
    assert table.to_pylist() == [
        {
            "a": dt.datetime(2013, 3, 10, 7, 0, 0, 1, tzinfo=dt.UTC),
            "b": dt.datetime(2013, 3, 10, 2, 30),  # noqa: DTZ001 - without time zone
        }
    ]


@pytest.mark.parametrize(
    ("kind", "bits"), [("date", pa.int32()), ("timestamp", pa.int64()), ("timestamptz", pa.int64())]
)
def test_infinity_is_stored_as_integer_limit(fresh_database: str, kind: str, bits: pa.DataType) -> None:
    table = store(
        fresh_database,
        f"SELECT value::{kind} AS value FROM (VALUES ('infinity'), ('-infinity'), ('0044-03-15 BC'), (NULL)) v(value)",
    )
    plus, minus, ides, null = table["value"].combine_chunks().view(bits).to_pylist()
    assert plus == (2**31 - 1 if bits == pa.int32() else 2**63 - 1)
    assert minus == (-(2**31) if bits == pa.int32() else -(2**63) + 1)
    days = -735_160  # days from 1970-01-01 to March 15 in the year -43
    assert ides == days or ides // 86_400_000_000 == days
    assert null is None


def test_nan_in_scaled_numeric_raises_with_column(fresh_database: str) -> None:
    with pytest.raises(QueryError, match=r"column value \(numeric\(5,2\)\).*NaN"):
        store(fresh_database, "SELECT 'NaN'::numeric(5,2) AS value")


def test_enum_and_domain_are_stored_as_text(fresh_database: str) -> None:
    import psycopg

    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN small AS int CHECK (value < 10)")
    table = store(fresh_database, "SELECT 'ok'::mood AS a, 5::small AS b")
    assert [str(value) for row in table.to_pylist() for value in row.values()] == ["ok", "5"]


def test_schema_metadata_has_postgresql_type_names(fresh_database: str) -> None:
    table = store(fresh_database, "SELECT 1::numeric(4,1) AS a, '{}'::json AS b")
    assert [field.metadata[PG_TYPE] for field in table.schema] == [b"numeric(4,1)", b"json"]


def test_quote_identifier_doubles_quotes() -> None:
    assert quote_identifier('a "b"') == '"a ""b"""'
