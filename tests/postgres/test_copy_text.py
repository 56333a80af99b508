"""Tests the conversion of a real server's COPY output to Arrow."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from quire.dev_stack.postgres_server import PostgresServer
from quire.errors import QueryError
from quire.postgres.copy_text import BLOCK_BYTES

from tests.postgres.test_arrow_types import store

pytestmark = pytest.mark.server

MARK = "\ufeff"  # a byte order mark at the start of a string
# The COPY format's special characters, mixed with arbitrary other characters.
TEXTS = st.text(
    st.sampled_from("\\Nnrtbfv\n\r\t\b\f\v.\"', " + MARK) | st.characters(codec="utf-8", exclude_characters="\0")
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(TEXTS | st.none(), TEXTS | st.none()), min_size=1, max_size=20))
def test_copy_text_round_trips_any_text(fresh_database: str, rows: list[tuple[str | None, str | None]]) -> None:
    values = sql.SQL(", ").join(sql.SQL("({}, {}, {})").format(n, a, b) for n, (a, b) in enumerate(rows))
    query = sql.SQL("SELECT a::text AS a, b::text AS b FROM (VALUES {}) AS v(n, a, b) ORDER BY n").format(values)
    table = store(fresh_database, query.as_string(None))
    assert [(row["a"], row["b"]) for row in table.to_pylist()] == rows


@pytest.mark.parametrize("text", ["", " ", MARK, MARK * 2 + "a", "\\N", "\n", '"', "\\."])
def test_copy_text_single_column_round_trips(fresh_database: str, text: str) -> None:
    query = sql.SQL("SELECT {}::text AS a FROM generate_series(1, 3)").format(text).as_string(None)
    assert store(fresh_database, query)["a"].to_pylist() == [text] * 3


def test_copy_text_values_longer_than_block_round_trip(fresh_database: str) -> None:
    query = f"SELECT n, repeat('é', n * {BLOCK_BYTES // 5}) AS a FROM generate_series(0, 9) AS n"
    table = store(fresh_database, query)
    assert [len(text) for text in table["a"].to_pylist()] == [n * (BLOCK_BYTES // 5) for n in range(10)]
    assert table["n"].num_chunks > 3


# These times cover the years from 4713 BC to 294246 and every part of a day.
INSTANTS = "SELECT TIMESTAMP '4713-01-02 00:00:00.5 BC' + n * interval '9 days 05:06:07.890123' * 1181 AS t"
SERIES = " FROM generate_series(0, 9999) AS n"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Africa/Monrovia", "Europe/Amsterdam"])
def test_times_match_postgresql_epoch(fresh_database: str, zone: str) -> None:
    query = (
        "SELECT t, t::timestamptz AS z, t::date AS d, t::time AS c, "
        "(extract(epoch FROM t) * 1000000)::bigint AS t_count, "
        "(extract(epoch FROM t::timestamptz) * 1000000)::bigint AS z_count, t::date - DATE '1970-01-01' AS d_count, "
        f"(extract(epoch FROM t::time) * 1000000)::bigint AS c_count FROM ({INSTANTS}{SERIES}) AS s"
    )
    table = store(fresh_database, query, timezone=zone)
    assert table.num_rows == 10_000
    for name in "tzdc":
        counted = table[f"{name}_count"].combine_chunks()
        assert table[name].combine_chunks().view(counted.type).equals(counted), name


def test_times_usual_and_unusual_mixed_are_read(fresh_database: str) -> None:
    query = (
        "SELECT CASE WHEN n < 8000 OR n > 12000 OR n % 4 > 1 THEN DATE '2013-01-01' + n "
        "WHEN n % 4 = 0 THEN DATE 'infinity' END AS d, "
        "CASE WHEN n < 8000 OR n > 12000 OR n % 4 > 1 THEN TIME '00:00' + n * interval '1 second' "
        "WHEN n % 4 = 0 THEN TIME '24:00' END AS c, "
        "n - n % 100 AS n, repeat('x', 1000) AS x FROM generate_series(0, 20000) AS n"
    )
    table = store(fresh_database, query)
    assert table["x"].num_chunks > 3
    days = table["d"].combine_chunks().view(pa.int32()).to_pylist()
    clocks = table["c"].combine_chunks().view(pa.int64()).to_pylist()
    unusual = {n: n % 4 for n in range(8000, 12_001)}
    assert days == [{0: 2**31 - 1, 1: None}.get(unusual.get(n, 2), 15_706 + n) for n in range(20_001)]
    assert clocks == [{0: 86_400_000_000, 1: None}.get(unusual.get(n, 2), n * 1_000_000) for n in range(20_001)]


def test_float_keeps_digits_despite_role_setting(fresh_database: str) -> None:
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(
            "ALTER ROLE CURRENT_USER IN DATABASE " + connection.info.dbname + " SET extra_float_digits = -3"
        )
    assert store(fresh_database, "SELECT 0.1::float8 + 0.2::float8 AS a")["a"].to_pylist() == [0.1 + 0.2]


def test_nan_next_to_unusual_times_raises_with_its_column(fresh_database: str) -> None:
    query = "SELECT DATE 'infinity' AS d, n::numeric(5,2) AS a FROM (VALUES ('1'), ('NaN')) AS v(n)"
    with pytest.raises(
        QueryError, match=r"column a \(numeric\(5,2\)\) contains a value that is not a number, such as NaN"
    ):
        store(fresh_database, query)


@pytest.fixture
def bytes_database(postgres_server: PostgresServer) -> Iterator[str]:
    """A database whose encoding, SQL_ASCII, accepts any bytes."""
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    yield postgres_server.url("bytes")
    postgres_server.drop_database("bytes")


def test_text_not_utf8_is_rejected_by_postgresql(bytes_database: str) -> None:
    query = "SELECT convert_from(convert('\\xc4'::bytea, 'LATIN1', 'UTF8'), 'SQL_ASCII') AS a"
    assert store(bytes_database, query)["a"].to_pylist() == ["Ä"]
    with pytest.raises(QueryError, match='invalid byte sequence for encoding "UTF8": 0xc4'):
        store(bytes_database, "SELECT convert_from('\\xc4'::bytea, 'SQL_ASCII') AS a")
