"""Every kind of statement changes the tokens for partitions that contain affected rows, and no other tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.date_range import DateRange, Grain
from quire.postgres import open_transaction
from quire.postgres.tracking.installation import track
from quire.postgres.tracking.tokens import tracked_tokens

from tests.events import ZONE, fill_events, session_of
from tests.postgres.tracking.observed import observed_session
from tests.postgres.tracking.tables import EVENTS, PARTITIONED, run_sql, stale, tokens, tracked_report

pytestmark = pytest.mark.server

ALL = ["2013-01", "2013-02", "2013-03"]
CHANGES = [
    ("INSERT INTO events (id, at) VALUES (9, '2013-02-03 12:00 America/New_York')", ["2013-02"]),
    ("INSERT INTO events (id, at) SELECT 9, at FROM events WHERE false", []),
    ("UPDATE events SET amount = 7 WHERE id = 2", ["2013-01"]),
    ("UPDATE events SET amount = 7 WHERE id = 3 AND amount = 8", []),
    ("UPDATE events SET at = '2013-03-01 12:00 America/New_York' WHERE id = 1", ["2013-01", "2013-03"]),
    ("UPDATE events SET at = '2019-01-01' WHERE id = 1", ["2013-01"]),
    ("DELETE FROM events WHERE id = 3", ["2013-02"]),
    ("DELETE FROM events", ALL),
    ("TRUNCATE events", ALL),
    ("INSERT INTO events (id, at) VALUES (9, NULL)", ALL),
    ("INSERT INTO events (id, at) VALUES (9, 'infinity'), (10, '-infinity')", []),
    ("BEGIN; UPDATE events SET amount = 7; TRUNCATE events; ROLLBACK", []),
    ("BEGIN; SAVEPOINT s; DELETE FROM events; ROLLBACK TO s; COMMIT", []),
    (
        "INSERT INTO events (id, at) VALUES (1, '2013-02-02') ON CONFLICT (id) DO UPDATE SET note = excluded.note",
        ["2013-01"],
    ),
    ("INSERT INTO events (id, at) VALUES (1, '2013-02-02') ON CONFLICT DO NOTHING", []),
    (
        "MERGE INTO events USING (VALUES (1), (3), (9)) AS new (id) ON events.id = new.id "
        "WHEN MATCHED AND new.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET amount = 1 "
        "WHEN NOT MATCHED THEN INSERT (id, at) VALUES (9, '2013-03-03')",
        ALL,
    ),
    ("WITH gone AS (DELETE FROM events WHERE id = 6 RETURNING *) INSERT INTO later SELECT id FROM gone", ["2013-03"]),
    ("SET session_replication_role = replica; UPDATE events SET amount = 7 WHERE id = 3", ["2013-02"]),
    ("INSERT INTO kinds VALUES ('z', 'Z')", []),
]


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    run_sql(fresh_database, "CREATE TABLE kinds (kind text, name text); CREATE TABLE later (id integer)")
    return fresh_database


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_statement_changes_only_tokens_of_its_rows(
    tmp_path: Path, database: str, change: str, expected: list[str]
) -> None:
    definition = tracked_report(tmp_path)
    track(definition, database)
    before = tokens(definition, database)
    assert tokens(definition, database) == before
    run_sql(database, change)
    assert stale(before, tokens(definition, database)) == expected


def test_copy_changes_tokens_of_its_rows(tmp_path: Path, database: str) -> None:
    definition = tracked_report(tmp_path)
    track(definition, database)
    before = tokens(definition, database)
    with psycopg.connect(database) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY events (id, at) FROM STDIN") as copy:
            copy.write_row([9, "2013-02-02 UTC"])
            copy.write_row([10, "2013-03-02 UTC"])
    assert stale(before, tokens(definition, database)) == ["2013-02", "2013-03"]


def test_cascading_delete_changes_tokens_of_its_rows(tmp_path: Path, database: str) -> None:
    run_sql(
        database,
        "CREATE TABLE parents (id integer PRIMARY KEY); INSERT INTO parents SELECT id FROM events",
        "ALTER TABLE events ADD FOREIGN KEY (id) REFERENCES parents ON DELETE CASCADE",
    )
    definition = tracked_report(tmp_path)
    track(definition, database)
    before = tokens(definition, database)
    run_sql(database, "DELETE FROM parents WHERE id = 3")
    assert stale(before, tokens(definition, database)) == ["2013-02"]
    run_sql(database, "TRUNCATE parents CASCADE")
    assert stale(before, tokens(definition, database)) == ALL


def test_change_to_table_without_time_column_changes_every_token(tmp_path: Path, database: str) -> None:
    definition = tracked_report(tmp_path, tables=[EVENTS, "kinds"])
    track(definition, database)
    before = tokens(definition, database)
    run_sql(database, "INSERT INTO kinds VALUES ('z', 'Z')")
    assert stale(before, tokens(definition, database)) == ALL


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE events SET amount = 7 WHERE id = 2", ["2013-02"]),
        ("UPDATE events SET at = '2013-03-15' WHERE id = 1", ["2013-01", "2013-03"]),
        ("UPDATE events_new SET kind = 'b' WHERE id = 2", ["2013-02"]),
        ("UPDATE events SET kind = 'b' WHERE id = 2", ["2013-02"]),
        ("UPDATE events_new_b SET amount = 7", ["2013-03"]),
        ("INSERT INTO events_old VALUES (9, '2013-01-05')", ["2013-01"]),
        ("DELETE FROM events_new_a", ["2013-02"]),
        ("TRUNCATE events_old", ALL),
        ("TRUNCATE events", ALL),
        ("BEGIN; DELETE FROM events_new_a; ROLLBACK", []),
    ],
)
def test_write_to_partitioned_table_changes_tokens_of_its_rows(
    tmp_path: Path, fresh_database: str, kind: str, change: str, expected: list[str]
) -> None:
    run_sql(fresh_database, PARTITIONED.format(kind=kind))
    definition = tracked_report(tmp_path)
    track(definition, fresh_database)
    before = tokens(definition, fresh_database)
    run_sql(fresh_database, change)
    assert stale(before, tokens(definition, fresh_database)) == expected


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_partition_bounds_follow_the_report_time_zone(tmp_path: Path, fresh_database: str, kind: str) -> None:
    fill_events(fresh_database, [])
    run_sql(fresh_database, f"ALTER TABLE events ALTER at TYPE {kind} USING at::{kind}")
    definition = tracked_report(tmp_path)
    track(definition, fresh_database)
    before = tokens(definition, fresh_database)
    run_sql(fresh_database, "SET TimeZone = 'America/New_York'; INSERT INTO events VALUES (1, '2013-02-01 00:00')")
    between = tokens(definition, fresh_database)
    assert stale(before, between) == ["2013-02"]
    run_sql(fresh_database, "SET TimeZone = 'America/New_York'; INSERT INTO events VALUES (2, '2013-01-31 23:59')")
    assert stale(between, tokens(definition, fresh_database)) == ["2013-01"]


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2013-01-31 23:20 Asia/Kolkata", ["2013-01"]),
        ("2013-01-31 23:40 Asia/Kolkata", ["2013-01", "2013-02"]),
        ("2013-02-01 00:20 Asia/Kolkata", ["2013-01", "2013-02"]),
        ("2013-02-01 00:30 Asia/Kolkata", ["2013-02"]),
    ],
)
def test_bucket_split_by_half_hour_zone_affects_both_partitions(
    tmp_path: Path, fresh_database: str, instant: str, expected: list[str]
) -> None:
    fill_events(fresh_database, [])
    definition = tracked_report(tmp_path, timezone="Asia/Kolkata")
    track(definition, fresh_database)
    before = tokens(definition, fresh_database, zone="Asia/Kolkata")
    run_sql(fresh_database, f"INSERT INTO events (id, at) VALUES (1, '{instant}')")
    assert stale(before, tokens(definition, fresh_database, zone="Asia/Kolkata")) == expected


def test_token_does_not_depend_on_requested_range(tmp_path: Path, database: str) -> None:
    definition = tracked_report(tmp_path, tables=[EVENTS, "kinds"])
    track(definition, database)
    run_sql(database, "UPDATE events SET amount = 7", "INSERT INTO kinds VALUES ('z', 'Z')")
    year = tokens(definition, database, "2013-01-01", "2013-12-31")
    assert len(set(year.values())) == len({"2013-01", "2013-02", "2013-03", "the empty ones"})
    for key, token in tokens(definition, database, "2013-02-01", "2013-03-31").items():
        assert token == year[key]


def test_write_of_date_beyond_timestamp_range_succeeds(tmp_path: Path, database: str) -> None:
    run_sql(database, "ALTER TABLE events ALTER at TYPE date USING at::date")
    definition = tracked_report(tmp_path)
    track(definition, database)
    before = tokens(definition, database)
    run_sql(database, "INSERT INTO events (id, at) VALUES (9, '5874897-12-31'), (10, '4713-01-01 BC')")
    assert stale(before, tokens(definition, database)) == []


@pytest.mark.parametrize("table", [EVENTS, "kinds"])
def test_tokens_query_uses_the_log_index(tmp_path: Path, database: str, table: Any) -> None:
    """Plans the query as a read-only role: only leakproof conditions are pushed into the security barrier view."""
    definition = tracked_report(tmp_path, tables=[table])
    track(definition, database)
    run_sql(
        database,
        "INSERT INTO quire.change_log SELECT 'events', 'at', timestamp '2010-01-01' + n * interval '1 hour', 1 "
        "FROM generate_series(1, 50000) AS n",
        "INSERT INTO quire.change_log SELECT 'later', NULL, NULL, 1 FROM generate_series(1, 50000) AS n",
        "ANALYZE quire.change_log",
        "DO $$ BEGIN CREATE ROLE test_looker; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "GRANT SELECT ON events, kinds TO test_looker",
    )
    queries = list[str]()
    session = observed_session(session_of(database), after_query=lambda sql, rows: queries.append(sql))
    february = DateRange.parse("2013-02-01", "2013-02-28", ZONE).partitions(Grain.MONTH)
    with open_transaction(session) as transaction:
        tracked_tokens(definition, february, transaction=transaction)
    with psycopg.connect(database) as connection:
        connection.execute("SET ROLE test_looker")
        connection.execute("SET search_path = pg_catalog, pg_temp")
        plan = "\n".join(line for (line,) in connection.execute("EXPLAIN " + queries[-1]))
    assert "change_log_bucket" in plan, plan
    assert "Seq Scan on change_log" not in plan, plan
