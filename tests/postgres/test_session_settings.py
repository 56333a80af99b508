"""Quire's settings for reading and printing values override those from the connection, role, database and query."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from quire.errors import QueryError
from quire.postgres import SourceTransaction, open_transaction

from tests.events import session_of
from tests.postgres.tracking.tables import run_sql

pytestmark = pytest.mark.server

UNUSUAL = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-10",
    "standard_conforming_strings": "off",
}
QUERY = """
SELECT date '2013-02-21' AS d, timestamp '2013-02-21 03:04:05.5' AS t, timestamptz '2013-02-21 03:04:05+00' AS z,
       timestamptz '2013-02-21 03:04:05+00'::date AS local, interval '1 day -2 hours' AS i, time '03:04' AS c,
       daterange('2013-02-21', '2013-02-23') AS r, ARRAY[timestamptz '2013-02-21 03:04:05+00'] AS a,
       decode('ff', 'hex') AS b, 0.1::float8 / 3 AS f, 'a\\b'::text AS s
"""


def rows_of(transaction: SourceTransaction, query: str = QUERY) -> list[dict[str, Any]]:
    """Returns a query's rows, which are read into Arrow."""
    columns = transaction.columns(query)
    return [row for batch in transaction.stream(query, columns) for row in batch.to_pylist()]


@pytest.fixture
def expected(fresh_database: str) -> list[dict[str, Any]]:
    with open_transaction(session_of(fresh_database)) as transaction:
        return rows_of(transaction)


@pytest.mark.parametrize("place", ["option", "role", "database"])
@pytest.mark.parametrize(("name", "value"), UNUSUAL.items())
def test_settings_outside_the_session_change_no_value(
    fresh_database: str, expected: list[dict[str, Any]], place: str, name: str, value: str
) -> None:
    url, database = fresh_database, fresh_database.rpartition("/")[2]
    if place == "option":
        option = f"-c {name}={value.replace(' ', '')}"
        url += f"?options={quote(option, safe='')}"
    elif place == "role":
        run_sql(url, f"ALTER ROLE postgres IN DATABASE {database} SET {name} = {value!r}")
    else:
        run_sql(url, f"ALTER DATABASE {database} SET {name} = {value!r}")
    with open_transaction(session_of(url)) as transaction:
        assert rows_of(transaction) == expected


@pytest.mark.parametrize(("name", "value"), UNUSUAL.items())
def test_settings_changed_by_a_query_are_reset(
    fresh_database: str, expected: list[dict[str, Any]], name: str, value: str
) -> None:
    with open_transaction(session_of(fresh_database)) as transaction:
        assert rows_of(transaction, f"SELECT set_config('{name}', '{value}', true) AS x") == [{"x": value}]
        assert rows_of(transaction) == expected
        transaction.fetch(f"SELECT set_config('{name}', '{value}', true)")
        assert rows_of(transaction) == expected


@pytest.mark.parametrize(
    ("value", "printed"), [("date '2013-02-21'", "21/02/2013"), ("timestamptz '2013-02-21 12:00Z'", "21/02/2013 07:00")]
)
def test_query_changing_its_date_style_raises(fresh_database: str, value: str, printed: str) -> None:
    query = f"SELECT set_config('DateStyle', 'SQL,DMY', true) AS x, {value} AS at"
    with open_transaction(session_of(fresh_database)) as transaction, pytest.raises(QueryError) as caught:
        rows_of(transaction, query)
    assert f"column at ({value.split()[0]}) contains {printed}" in caught.value.message
    assert caught.value.message.endswith("not in PostgreSQL's ISO style. The query must not change DateStyle")
