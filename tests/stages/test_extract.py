"""Extract puts each row into exactly one partition, and exactly one of two writers wins."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.date_range import DatePartition
from quire.dev_stack.postgres_server import PostgresServer
from quire.errors import IntegrityError, MisplacedRowsError, QueryError, StoreRefusedError
from quire.object_store.s3_store import S3Store
from quire.record_types.stage_records import RunPlan, StagedPartition
from quire.report.definition import ReportDefinition
from quire.stages.extract import extract_partitions
from quire.stages.plan import plan_partitions

from tests.events import ROWS, SQL, events_report, fill_events, request_of, session_of

pytestmark = pytest.mark.server


@dataclass
class Extraction:
    """A report with a plan and partitions, ready for extract."""

    definition: ReportDefinition
    plan: RunPlan
    partitions: list[DatePartition]
    url: str
    store: S3Store

    @classmethod
    def of(
        cls, include: Path, url: str, store: S3Store, *, days: tuple[str, str] | None = None, **changes: Any
    ) -> Extraction:
        definition = events_report(include, **changes)
        start, end = days or ("2013-01-01", "2013-03-31")
        session = session_of(url, timezone=definition.timezone)
        planned = plan_partitions(definition, request_of(definition, start, end), session=session, store=store)
        partitions = [partition for group in planned.groups for partition in group]
        return cls(definition, planned.plan, partitions, url, store)

    def run(self) -> tuple[StagedPartition, ...]:
        session = session_of(self.url, timezone=self.definition.timezone)
        return extract_partitions(self.definition, self.plan, self.partitions, session=session, store=self.store)

    def rows(self, staged: StagedPartition) -> pa.Table:
        return pq.read_table(self.store.open_object(staged.object_key, staged.bytes))

    def keys(self) -> list[str]:
        return [entry.key for entry in self.store.list("")]


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    return fresh_database


def test_rows_are_in_their_months_of_the_report_time_zone(tmp_path: Path, database: str, bucket: S3Store) -> None:
    extraction = Extraction.of(tmp_path, database, bucket)
    staged = extraction.run()
    assert [part.key for part in staged] == ["2013-01", "2013-02", "2013-03"]
    assert [extraction.rows(part)["id"].to_pylist() for part in staged] == [[1, 2], [3], [4, 5, 6]]
    assert [part.rows for part in staged] == [2, 1, 3]
    assert sum(part.rows for part in staged) == len(ROWS)


def test_stored_object_matches_its_record(tmp_path: Path, database: str, bucket: S3Store) -> None:
    import hashlib

    extraction = Extraction.of(tmp_path, database, bucket)
    for part in extraction.run():
        body = bucket.read(part.object_key)
        assert body is not None
        assert (len(body), hashlib.sha256(body).hexdigest()) == (part.bytes, part.sha256)
        assert part.object_key.startswith(
            f"partitions/events/{extraction.plan.source_digest}/{part.key}/{part.freshness_token}/"
        )


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("date", {"2013-01": [1, 2], "2013-02": [3], "2013-03": [4, 5, 6]}),
        ("timestamp", {"2013-01": [1, 2], "2013-02": [3], "2013-03": [4, 5, 6]}),
    ],
)
def test_dates_and_wall_clocks_are_local_to_the_report(
    tmp_path: Path, database: str, bucket: S3Store, kind: str, rows: dict[str, list[int]]
) -> None:
    sql = f"SELECT id, at, kind, amount FROM (SELECT id, at::{kind} AS at, kind, amount FROM events) e " + (
        "WHERE at >= %(start)s AND at < %(end)s ORDER BY id\n"
    )
    extraction = Extraction.of(tmp_path, database, bucket, sql=sql)
    assert {part.key: extraction.rows(part)["id"].to_pylist() for part in extraction.run()} == rows


def test_days_of_23_and_25_hours_have_each_row_once(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    import psycopg

    fill_events(fresh_database, [])
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        for number, day in enumerate(("2013-03-09", "2013-11-02")):
            connection.execute(
                "INSERT INTO events SELECT %s + n, (%s || ' 12:00 America/New_York')::timestamptz + n * interval "
                "'10 minutes' FROM generate_series(0, 400) n",
                (number * 1000, day),
            )
    counts = {}
    for days in (("2013-03-10", "2013-03-10"), ("2013-11-03", "2013-11-03")):
        (part,) = Extraction.of(tmp_path, fresh_database, bucket, days=days, partition="day").run()
        counts[part.key] = part.rows
    assert counts == {"2013-03-10": 23 * 6, "2013-11-03": 25 * 6}


def test_empty_partition_is_stored_with_its_columns(tmp_path: Path, database: str, bucket: S3Store) -> None:
    extraction = Extraction.of(tmp_path, database, bucket, days=("2012-02-01", "2012-02-29"))
    (part,) = extraction.run()
    assert (part.key, part.rows) == ("2012-02", 0)
    assert extraction.rows(part).column_names == ["id", "at", "kind", "amount", "weight", "note"]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            "SELECT * FROM events WHERE at < %(end)s OR at > %(start)s\n",
            "6 rows, including 4 with at outside 2013-01-01",
        ),
        (
            "SELECT id, CASE WHEN id > 1 THEN at END AS at, kind, amount FROM events "
            "WHERE at >= %(start)s AND at < %(end)s\n",
            "2 rows, including 1 without at",
        ),
        ("SELECT * FROM events WHERE at >= %(start)s AND at <= %(end)s\n", "3 rows, including 1 with at outside"),
    ],
)
def test_row_outside_its_partition_fails_the_extract_and_stores_nothing(
    tmp_path: Path, database: str, bucket: S3Store, sql: str, reason: str
) -> None:
    extraction = Extraction.of(tmp_path, database, bucket, sql=sql)
    with pytest.raises(MisplacedRowsError, match=reason) as caught:
        extraction.run()
    assert (caught.value.report, caught.value.partition) == ("events", "2013-01")
    assert extraction.keys() == []


def test_query_that_fails_halfway_stores_nothing(tmp_path: Path, database: str, bucket: S3Store) -> None:
    sql = (
        "SELECT n AS id, %(start)s + n * interval '1 second' AS at, 1 / (150000 - n) AS amount, md5(n::text) AS kind "
        "FROM generate_series(0, 150000) n WHERE %(end)s IS NOT NULL\n"
    )
    extraction = Extraction.of(tmp_path, database, bucket, sql=sql)
    with pytest.raises(QueryError, match="division by zero"):
        extraction.run()
    assert extraction.keys() == []
    uploads = bucket.client.list_multipart_uploads(Bucket=bucket.bucket)
    assert uploads.get("Uploads", []) == []


def test_column_altered_since_the_plan_raises_and_nothing_is_stored(
    tmp_path: Path, database: str, bucket: S3Store
) -> None:
    extraction = Extraction.of(tmp_path, database, bucket)
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE events ALTER amount TYPE bigint")
    with pytest.raises(QueryError, match=r"amount \(int8\) but returned amount \(numeric\(12,2\)\) when.*planned"):
        extraction.run()
    assert extraction.keys() == []


def test_database_other_than_the_planned_one_is_rejected(
    tmp_path: Path, database: str, postgres_server: PostgresServer, bucket: S3Store
) -> None:
    definition = events_report(tmp_path)
    planned = plan_partitions(definition, request_of(definition), session=session_of(database), store=bucket)
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.create_database(name)
    other = postgres_server.url(name)
    fill_events(other)
    with pytest.raises(IntegrityError, match="planned for a different source"):
        extract_partitions(definition, planned.plan, planned.groups[0], session=session_of(other), store=bucket)
    postgres_server.drop_database(name)
    assert list(bucket.list("partitions/")) == []


def test_retry_of_a_run_reuses_its_stored_partitions(tmp_path: Path, database: str, bucket: S3Store) -> None:
    extraction = Extraction.of(tmp_path, database, bucket)
    first, keys = extraction.run(), extraction.keys()
    fill_events(database, [])
    assert extraction.run() == first
    assert extraction.keys() == keys


def test_another_run_reads_the_rows_again(tmp_path: Path, database: str, bucket: S3Store) -> None:
    extraction = Extraction.of(tmp_path, database, bucket)
    first = extraction.run()
    fill_events(database, ROWS[:1])
    extraction.plan = replace(extraction.plan, request=request_of(extraction.definition))
    assert [part.rows for part in extraction.run()] == [1, 0, 0]
    assert [part.rows for part in first] == [2, 1, 3]


def test_concurrent_writers_end_with_one_winner(tmp_path: Path, database: str, bucket: S3Store) -> None:
    extraction = Extraction.of(tmp_path, database, bucket)
    barrier = threading.Barrier(4)

    def run() -> tuple[StagedPartition, ...]:
        barrier.wait()
        return extraction.run()

    with ThreadPoolExecutor(4) as pool:
        results = [future.result() for future in [pool.submit(run) for _ in range(4)]]
        assert all(staged == results[0] for staged in results)
        counted = {part.object_key for part in results[0]}
    assert {key for key in extraction.keys() if key.endswith(".parquet")} == counted
    assert len([key for key in extraction.keys() if key.endswith(".json")]) == 3


def test_deleted_rows_are_extracted_again(tmp_path: Path, database: str, bucket: S3Store) -> None:
    extraction = Extraction.of(tmp_path, database, bucket)
    first = extraction.run()
    bucket.delete([first[0].object_key])
    again = extraction.run()
    assert extraction.rows(again[0])["id"].to_pylist() == [1, 2]
    assert again[1:] == first[1:]


def test_missing_bucket_raises_an_error(tmp_path: Path, database: str, bucket: S3Store) -> None:
    missing = S3Store(replace(bucket.settings, bucket="there-is-none"))
    with pytest.raises(StoreRefusedError, match="the bucket does not exist"):
        Extraction.of(tmp_path, database, missing).run()


def test_large_partition_is_stored_in_several_row_groups_in_order(
    tmp_path: Path, database: str, bucket: S3Store
) -> None:
    sql = (
        "SELECT n AS id, %(start)s + n * interval '1 second' AS at, md5(n::text) AS kind, 1.5::numeric(12,2) AS amount "
        "FROM generate_series(1, 200000) n WHERE %(end)s IS NOT NULL ORDER BY n\n"
    )
    extraction = Extraction.of(tmp_path, database, bucket, sql=sql, days=("2013-01-01", "2013-01-31"))
    (part,) = extraction.run()
    file = pq.ParquetFile(bucket.open_object(part.object_key, part.bytes))
    assert file.num_row_groups > 2
    assert max(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)) <= 65_536
    assert file.read(["id"])["id"].to_pylist() == list(range(1, 200_001))


def test_extract_uses_the_sql_of_the_definition(tmp_path: Path, database: str, bucket: S3Store) -> None:
    sql = SQL.replace("ORDER BY at, id", "AND kind = 'b' ORDER BY at, id -- the b's only") + "-- a comment at the end\n"
    extraction = Extraction.of(tmp_path, database, bucket, sql=sql)
    assert [part.rows for part in extraction.run()] == [1, 0, 2]


def test_partition_and_its_object_have_statistics_of_times_and_nulls(
    tmp_path: Path, database: str, bucket: S3Store
) -> None:
    january, february, _ = Extraction.of(tmp_path, database, bucket).run()
    ends = [dt.datetime.fromisoformat(end or "") for end in (january.statistics.earliest, january.statistics.latest)]
    assert ends == [
        dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC),
        dt.datetime(2013, 2, 1, 4, 59, 59, 999_999, tzinfo=dt.UTC),
    ]
    assert (january.statistics.nulls, february.statistics.nulls) == ({}, {"amount": 1, "weight": 1, "note": 1})
    group = pq.ParquetFile(bucket.open_object(january.object_key, january.bytes)).metadata.row_group(0)
    assert [group.column(1).statistics.min, group.column(1).statistics.max] == ends


def test_rows_of_another_size_are_extracted_again(tmp_path: Path, database: str, bucket: S3Store) -> None:
    extraction = Extraction.of(tmp_path, database, bucket)
    bucket.put(extraction.run()[0].object_key, b"torn")
    assert extraction.rows(extraction.run()[0])["id"].to_pylist() == [1, 2]


@pytest.mark.parametrize("change", [{"run_id": "another"}, {"made_at": "2013-04-01T06:00:01+00:00"}])
def test_run_with_another_id_or_plan_reads_the_rows_again(
    tmp_path: Path, database: str, bucket: S3Store, change: dict[str, Any]
) -> None:
    extraction = Extraction.of(tmp_path, database, bucket)
    first = extraction.run()
    extraction.plan = replace(extraction.plan, request=replace(extraction.plan.request, **change))
    assert {part.freshness_token for part in extraction.run()}.isdisjoint(part.freshness_token for part in first)
