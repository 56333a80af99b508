"""Summaries equal PostgreSQL's GROUP BY results."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest
from quire.aggregation.measures import summarize
from quire.errors import QueryError
from quire.object_store.s3_store import S3Store
from quire.record_types.stage_records import RunPlan, StagedPartition
from quire.report.definition import ReportDefinition
from quire.stages.aggregate import aggregate_summaries
from quire.stages.extract import extract_partitions
from quire.stages.plan import plan_partitions

from tests.events import ZONE, events_report, fill_events, fill_many_events, request_of, session_of
from tests.faults.fault_types import FAULTS
from tests.faults.http_messages import Message
from tests.faults.s3_proxy import Exchange, S3Proxy, request_name

pytestmark = pytest.mark.server


def staged_events(
    include: Path, url: str, store: S3Store, **changes: Any
) -> tuple[ReportDefinition, RunPlan, tuple[StagedPartition, ...]]:
    """Extracts three months of events."""
    definition = events_report(include, **changes)
    session = session_of(url)
    planned = plan_partitions(definition, request_of(definition), session=session, store=store)
    partitions = [partition for group in planned.groups for partition in group]
    staged = extract_partitions(definition, planned.plan, partitions, session=session, store=store)
    return definition, planned.plan, staged


def summary_rows(include: Path, url: str, store: S3Store, summary: dict[str, Any], **changes: Any) -> pl.DataFrame:
    """Returns the rows in the report's only summary."""
    definition, plan, staged = staged_events(include, url, store, summaries=[{"name": "S", **summary}], **changes)
    (stored,) = aggregate_summaries(definition, plan, staged, store=store)
    body = store.read(stored.object_key)
    assert body is not None
    frame = pl.read_parquet(io.BytesIO(body))
    assert frame.height == stored.rows
    return frame


def ask(url: str, sql: str) -> Sequence[Sequence[Any]]:
    """Runs a query in the report's time zone, and returns PostgreSQL's result."""
    with psycopg.connect(url) as connection:
        connection.execute(f"SET timezone = '{ZONE}'")
        return connection.execute(sql).fetchall()


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_many_events(fresh_database, 5099, minutes=25)
    return fresh_database


def test_measures_equal_those_of_postgresql(tmp_path: Path, database: str, bucket: S3Store) -> None:
    frame = summary_rows(
        tmp_path,
        database,
        bucket,
        {
            "by": ["kind"],
            "measures": {
                "events": {"agg": "count"},
                "total": {"agg": "sum", "of": "amount"},
                "weights": {"agg": "sum", "of": "weight"},
                "numbers": {"agg": "sum", "of": "id"},
                "large": {"agg": "sum", "of": "CASE WHEN amount > 100 THEN 1 ELSE 0 END"},
                "mean": {"agg": "mean", "of": "amount"},
                "lowest": {"agg": "min", "of": "amount"},
                "highest": {"agg": "max", "of": "note"},
                "notes": {"agg": "n_unique", "of": "note"},
                "middle": {"agg": "median", "of": "id"},
            },
            "sort": ["kind"],
        },
    )
    expected = ask(
        database,
        "SELECT kind, count(*), sum(amount), sum(weight), sum(id), count(*) FILTER (WHERE amount > 100), "
        'avg(amount)::float8, min(amount), max(note COLLATE "C"), count(DISTINCT note), '
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY id) "
        "FROM events WHERE at < '2013-04-01' GROUP BY kind ORDER BY kind NULLS LAST",
    )
    assert len(expected) == 6
    for row, expected_row in zip(frame.rows(), expected, strict=True):
        exact = [value for position, value in enumerate(row) if position != 6]
        assert exact == [value for position, value in enumerate(expected_row) if position != 6]
        assert row[6] == (None if expected_row[6] is None else pytest.approx(expected_row[6], rel=1e-12))


def test_nan_is_greater_than_any_number_as_in_postgresql(tmp_path: Path, database: str, bucket: S3Store) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE events ALTER weight TYPE float8")
        connection.execute("UPDATE events SET weight = 'NaN' WHERE id % 100 = 0 OR kind = 'b'")
    measures = {agg: {"agg": agg, "of": "weight"} for agg in ("min", "max", "sum", "mean")}
    frame = summary_rows(tmp_path, database, bucket, {"by": ["kind"], "measures": measures})
    expected = ask(
        database,
        "SELECT kind, min(weight), max(weight), sum(weight), avg(weight) FROM events WHERE at < '2013-04-01' "
        "GROUP BY kind ORDER BY kind NULLS LAST",
    )
    for (kind, *values), (expected_kind, *expected_values) in zip(frame.rows(), expected, strict=True):
        assert kind == expected_kind
        assert values == pytest.approx(expected_values, rel=1e-12, nan_ok=True)


def test_group_without_a_value_has_no_sum_and_no_mean(tmp_path: Path, database: str, bucket: S3Store) -> None:
    frame = summary_rows(
        tmp_path,
        database,
        bucket,
        {
            "by": ["kind"],
            "measures": {
                "total": {"agg": "sum", "of": "amount"},
                "mean": {"agg": "mean", "of": "amount"},
                "distinct": {"agg": "n_unique", "of": "amount"},
            },
        },
        sql="SELECT id, at, kind, NULL::numeric(12,2) AS amount FROM events WHERE at >= %(start)s AND at < %(end)s\n",
        columns=[],
    )
    assert set(frame.drop("kind").rows()) == {(None, None, 0)}


@pytest.mark.parametrize("every", ["day", "week", "month", "quarter", "year"])
@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_key_is_truncated_in_the_reports_zone(
    tmp_path: Path, database: str, bucket: S3Store, every: str, kind: str
) -> None:
    frame = summary_rows(
        tmp_path,
        database,
        bucket,
        {"by": [{"column": "at", "every": every}], "measures": {"n": {"agg": "count"}}, "sort": ["at"]},
        sql=f"SELECT * FROM (SELECT at::{kind} AS at FROM events) e WHERE at >= %(start)s AND at < %(end)s\n",
        columns=[],
    )
    expected = ask(
        database,
        f"SELECT date_trunc('{every}', at)::date, count(*) FROM events WHERE at < '2013-04-01' GROUP BY 1 ORDER BY 1",
    )
    assert frame.rows() == [tuple(row) for row in expected]


UNUSUAL_TIMES = (
    "infinity", "-infinity", "4001-02-29 BC", "0044-03-15 12:00 BC", "0001-01-01", "1600-01-01", "1883-11-18 12:00",
    "2013-03-10 02:59 EST", "2099-12-31 23:59", "2100-07-01 04:30+00", "2100-07-01 03:30+00", "2150-08-01 04:00+00",
    "2150-08-01 03:59:59.999999+00", "2150-11-07 04:30+00", "9999-12-31 23:30", "10000-02-29", "200000-07-01 04:00+00",
)  # fmt: skip


@pytest.mark.parametrize("every", ["day", "week", "month", "quarter", "year"])
@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_key_of_any_year_is_truncated_as_in_postgresql(
    tmp_path: Path, fresh_database: str, bucket: S3Store, every: str, kind: str
) -> None:
    fill_events(fresh_database, [(n, "2013-01-02 UTC", None, None, None, t) for n, t in enumerate(UNUSUAL_TIMES)])
    odd = f"note::timestamptz::{kind}"
    frame = summary_rows(
        tmp_path,
        fresh_database,
        bucket,
        {"by": [{"column": "odd", "every": every}], "measures": {"n": {"agg": "count"}}, "sort": ["odd"]},
        sql=f"SELECT at, {odd} AS odd FROM events WHERE at >= %(start)s AND at < %(end)s\n",
        columns=[],
    )
    # Dates are compared as days since 1970, because Python does not support some of these years. PostgreSQL cannot
    # subtract infinite dates.
    expected = ask(
        fresh_database,
        f"SELECT CASE WHEN isfinite(key) THEN (key - DATE '1970-01-01')::text ELSE key::text END, count(*) "
        f"FROM (SELECT date_trunc('{every}', {odd})::date AS key FROM events) e GROUP BY e.key ORDER BY e.key",
    )
    infinite = {2**31 - 1: "infinity", -(2**31): "-infinity"}
    days = [infinite.get(day, str(day)) for day in frame["odd"].to_physical()]
    assert list(zip(days, frame["n"], strict=True)) == [tuple(row) for row in expected]
    assert frame["odd"].dtype == pl.Date


def test_rows_are_sorted_by_the_definition_then_by_keys_with_null_last(
    tmp_path: Path, database: str, bucket: S3Store
) -> None:
    frame = summary_rows(
        tmp_path,
        database,
        bucket,
        {"by": ["kind"], "measures": {"n": {"agg": "n_unique", "of": "kind"}}, "sort": ["-n"]},
    )
    assert frame.rows() == [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1), (None, 0)]


def test_sum_of_bigints_does_not_overflow(tmp_path: Path, database: str, bucket: S3Store) -> None:
    frame = summary_rows(
        tmp_path,
        database,
        bucket,
        {"by": ["kind"], "measures": {"total": {"agg": "sum", "of": "large"}}},
        sql="SELECT at, 'x' AS kind, 9223372036854775807 AS large FROM events WHERE at >= %(start)s AND at < %(end)s\n",
        columns=[],
    )
    ((rows,),) = ask(database, "SELECT count(*) FROM events WHERE at < '2013-04-01'")
    assert frame.rows() == [("x", rows * 9223372036854775807)]


def test_streaming_engine_agrees_with_the_in_memory_engine(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition, plan, staged = staged_events(tmp_path, database, bucket)
    parts = [pl.read_parquet(io.BytesIO(bucket.read(part.object_key) or b"")) for part in staged]
    query = summarize(pl.concat(parts).lazy(), definition.summaries[0], plan.columns, timezone=ZONE)
    assert query.collect(engine="streaming").equals(query.collect(engine="in-memory"))


def test_aggregate_reads_rows_again_after_truncated_responses(tmp_path: Path, database: str, bucket: S3Store) -> None:
    summary = {
        "name": "S",
        "by": ["kind"],
        "measures": {"middle": {"agg": "median", "of": "id"}, "n": {"agg": "count"}},
    }
    definition, plan, staged = staged_events(tmp_path, database, bucket, summaries=[summary])
    expected = ask(database, "SELECT kind, count(*) FROM events WHERE at < '2013-04-01' GROUP BY kind")
    place = urlsplit(bucket.settings.endpoint_url or "")
    ranges = set[str]()

    def truncate_first_response_of_each_range(exchange: Exchange) -> None:
        (requested,) = (value for name, value in exchange.request.headers if name.lower() == "range")
        if requested in ranges:
            exchange.answer(exchange.forward())
        else:
            ranges.add(requested)
            FAULTS["truncated"].inject(exchange)

    target = request_name(Message(f"GET /bucket/{staged[1].object_key} HTTP/1.1", (), b""))
    with S3Proxy(
        (place.hostname or "", place.port or 0), target=target, inject=truncate_first_response_of_each_range
    ) as proxy:
        far = S3Store(replace(bucket.settings, endpoint_url=f"http://127.0.0.1:{proxy.port}"))
        (stored,) = aggregate_summaries(definition, plan, staged, store=far)
    assert ranges
    frame = pl.read_parquet(io.BytesIO(bucket.read(stored.object_key) or b""))
    assert set(frame.select("kind", "n").rows()) == {tuple(row) for row in expected}


def test_summary_over_all_null_first_partition_keeps_its_types(tmp_path: Path, database: str, bucket: S3Store) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE events SET amount = NULL, kind = NULL WHERE at < '2013-02-01 America/New_York'")
    frame = summary_rows(
        tmp_path,
        database,
        bucket,
        {"by": [{"column": "at", "every": "month"}], "measures": {"total": {"agg": "sum", "of": "amount"}}},
    )
    assert frame["total"][0] is None
    assert frame["total"][1] is not None


def test_empty_date_range_returns_an_empty_summary(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    fill_events(fresh_database, [])
    frame = summary_rows(
        tmp_path, fresh_database, bucket, {"by": ["kind"], "measures": {"n": {"agg": "sum", "of": "amount"}}}
    )
    assert frame.rows() == []
    assert frame.columns == ["kind", "n"]


def test_numeric_nan_raises_an_error_with_the_summary(tmp_path: Path, database: str, bucket: S3Store) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE events SET weight = 'NaN' WHERE id = 101")
    with pytest.raises(QueryError, match=r"summary S: .*NaN"):
        summary_rows(tmp_path, database, bucket, {"by": ["kind"], "measures": {"n": {"agg": "sum", "of": "weight"}}})


def test_summary_whose_first_partition_is_empty_has_the_rows_of_the_others(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_events(fresh_database, [(1, "2013-03-10 12:00 UTC", "a", "1.00", None, None)])
    frame = summary_rows(tmp_path, fresh_database, bucket, {"by": ["kind"], "measures": {"n": {"agg": "count"}}})
    assert frame.rows() == [("a", 1)]
