"""With ``freshness: versions``, every change to a partition's rows changes its token, and nothing else does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.cli.check import validate_query
from quire.errors import DefinitionError, SourceUnavailableError
from quire.object_store.s3_store import S3Store
from quire.partition_cache.freshness import ensure_consistent_read, freshness_tokens
from quire.pipeline import run_report
from quire.postgres import open_transaction
from quire.postgres.partition_query import query_columns
from quire.postgres.row_versions import version_tokens

from tests.events import fill_events, request_of, session_of
from tests.postgres.concurrent_writes import store_during_writes
from tests.postgres.tracking.tables import EVENTS, PARTITIONED, run_sql, stale, tokens, tracked_report

pytestmark = pytest.mark.server

MONTHS = ["2013-01", "2013-02", "2013-03"]


versioned_report = partial(tracked_report, freshness="versions")


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    return fresh_database


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("DELETE FROM events WHERE id = 3", ["2013-02"]),
        ("INSERT INTO events VALUES (9, '2013-02-03 12:00 America/New_York')", ["2013-02"]),
        ("UPDATE events SET amount = amount WHERE id = 1", ["2013-01"]),
        ("UPDATE events SET at = at + interval '40 days' WHERE id = 1", ["2013-01", "2013-02"]),
        ("UPDATE events SET at = '2013-02-28 23:59:59.999999 America/New_York' WHERE id = 3", ["2013-02"]),
        ("UPDATE events SET at = NULL WHERE id = 3", MONTHS),
        ("UPDATE events SET at = 'infinity' WHERE id = 3", MONTHS),
        ("INSERT INTO events VALUES (9, NULL)", MONTHS),
        ("INSERT INTO events VALUES (9, '2019-01-01')", []),
        ("TRUNCATE events", MONTHS),
        ("COPY events (id, at) FROM PROGRAM 'echo 9,2013-01-05' WITH (FORMAT csv)", ["2013-01"]),
        ("MERGE INTO events USING (VALUES (3)) AS v (id) ON events.id = v.id WHEN MATCHED THEN DELETE", ["2013-02"]),
        ("BEGIN; DELETE FROM events; ROLLBACK", []),
        ("BEGIN; SELECT * FROM events FOR UPDATE; COMMIT", []),
        ("BEGIN; INSERT INTO events VALUES (9, '2013-02-03'); DELETE FROM events WHERE id = 9; COMMIT", []),
        ("VACUUM events", []),
        ("VACUUM (FREEZE) events", []),
        ("VACUUM (FULL, FREEZE) events", []),
        ("CLUSTER events USING events_pkey", []),
        ("ANALYZE events", []),
        ("ALTER TABLE events ADD COLUMN extra integer DEFAULT 7", []),
        ("ALTER TABLE events ALTER COLUMN amount TYPE numeric(12,2) USING amount + 1", MONTHS),
    ],
)
def test_token_changes_exactly_with_the_rows(tmp_path: Path, database: str, change: str, expected: list[str]) -> None:
    definition = versioned_report(tmp_path)
    before = tokens(definition, database)
    run_sql(database, *change.split("; "))
    assert stale(before, tokens(definition, database)) == expected


def test_older_server_hashes_records(tmp_path: Path, database: str) -> None:
    """PostgreSQL 17 and older cannot hash a transaction ID; here, this database's function is renamed."""
    definition = versioned_report(tmp_path)
    newer = tokens(definition, database)
    run_sql(
        database,
        "SET allow_system_table_mods = on;"
        "ALTER FUNCTION pg_catalog.hashxidextended(xid, bigint) RENAME TO hashxidextended_18",
    )
    before = tokens(definition, database)
    assert stale(newer, before) == MONTHS
    run_sql(database, "UPDATE events SET at = at + interval '40 days' WHERE id = 1")
    assert stale(before, tokens(definition, database)) == ["2013-01", "2013-02"]


def test_transaction_that_commits_late_changes_its_tokens(tmp_path: Path, database: str) -> None:
    definition = versioned_report(tmp_path)
    with psycopg.connect(database) as writer:
        writer.execute("INSERT INTO events VALUES (9, '2013-02-03 12:00 America/New_York')")
        run_sql(database, "UPDATE events SET amount = 3 WHERE id = 6")  # a later ID, committed earlier
        before = tokens(definition, database)
        writer.commit()
    assert stale(before, tokens(definition, database)) == ["2013-02"]


def test_rows_of_one_transaction_cannot_replace_each_other(tmp_path: Path, fresh_database: str) -> None:
    """If two tables have equally many rows from one transaction, only the table's OID tells them apart."""
    run_sql(
        fresh_database,
        "CREATE TABLE events (id integer, at timestamptz) PARTITION BY RANGE (at);"
        "CREATE TABLE first PARTITION OF events FOR VALUES FROM ('2013-01-01') TO ('2014-01-01');"
        "CREATE TABLE second (LIKE first);"
        "INSERT INTO first VALUES (1, '2013-02-03'); INSERT INTO second VALUES (2, '2013-02-03')",
    )
    definition = versioned_report(tmp_path)
    before = tokens(definition, fresh_database)
    run_sql(
        fresh_database,
        "BEGIN; ALTER TABLE events DETACH PARTITION first;"
        "ALTER TABLE events ATTACH PARTITION second FOR VALUES FROM ('2013-01-01') TO ('2014-01-01'); COMMIT",
    )
    assert stale(before, tokens(definition, fresh_database)) == ["2013-02"]


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_partitioned_table_has_tokens_for_its_time_column(tmp_path: Path, fresh_database: str, kind: str) -> None:
    run_sql(fresh_database, PARTITIONED.format(kind=kind))
    definition = versioned_report(tmp_path)
    before = tokens(definition, fresh_database)
    run_sql(fresh_database, "UPDATE events_new_a SET amount = 3")
    after = tokens(definition, fresh_database)
    assert stale(before, after) == ["2013-02"]
    run_sql(fresh_database, "DELETE FROM events WHERE kind = 'b'")
    assert stale(after, tokens(definition, fresh_database)) == ["2013-03"]


def test_table_without_time_column_affects_all_partitions(tmp_path: Path, database: str) -> None:
    run_sql(database, "CREATE TABLE kinds (kind text)")
    definition = versioned_report(tmp_path, tables=[EVENTS, "kinds"])
    before = tokens(definition, database)
    run_sql(database, "INSERT INTO kinds VALUES ('a')")
    assert stale(before, tokens(definition, database)) == MONTHS


def test_materialized_view_has_versions(tmp_path: Path, database: str) -> None:
    run_sql(database, "CREATE MATERIALIZED VIEW joined AS TABLE events")
    definition = versioned_report(tmp_path, tables=[{"name": "joined", "time_column": "at"}])
    before = tokens(definition, database)
    assert tokens(definition, database) == before
    run_sql(database, "REFRESH MATERIALIZED VIEW joined")
    assert stale(before, tokens(definition, database)) == MONTHS


def test_changed_expression_of_a_virtual_column_affects_all_partitions(tmp_path: Path, database: str) -> None:
    run_sql(database, "ALTER TABLE events ADD COLUMN twice numeric GENERATED ALWAYS AS (amount * 2) VIRTUAL")
    definition = versioned_report(tmp_path)
    before = tokens(definition, database)
    run_sql(database, "ALTER TABLE events ALTER COLUMN twice SET EXPRESSION AS (amount * 3)")
    assert stale(before, tokens(definition, database)) == MONTHS


@pytest.mark.parametrize(
    ("statements", "name", "reason"),
    [
        ("SELECT 1", "missing", "source.tables: table missing does not exist"),
        (
            "CREATE VIEW seen AS TABLE events",
            "seen",
            "source.tables: seen is a view, whose rows have no versions. List the underlying tables, or use another "
            "source.freshness",
        ),
        (
            "CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; "
            "CREATE TABLE parts (at timestamptz) PARTITION BY RANGE (at); "
            "CREATE FOREIGN TABLE remote PARTITION OF parts DEFAULT SERVER s",
            "parts",
            "source.tables: parts: its partition public.remote is not stored in PostgreSQL's own format",
        ),
        (
            "ALTER TABLE events ALTER COLUMN at TYPE text",
            "events",
            "source.tables: events: time_column at is of type text. It must be a timestamptz, timestamp or date",
        ),
        (
            "REVOKE ALL ON events FROM PUBLIC; GRANT SELECT (id, at) ON events TO versions_reader",
            "events",
            "source.tables: freshness: versions requires SELECT on all columns of events. "
            "Run GRANT SELECT ON public.events TO versions_reader",
        ),
    ],
)
def test_relation_without_versions_is_rejected_in_one_line(
    tmp_path: Path, database: str, statements: str, name: str, reason: str
) -> None:
    run_sql(database, "DROP ROLE IF EXISTS versions_reader", "CREATE ROLE versions_reader LOGIN PASSWORD 'secret'")
    try:
        run_sql(database, *statements.split("; "))
        definition = versioned_report(tmp_path, tables=[{"name": name, "time_column": "at"}])
        url = database
        if "versions_reader" in statements:
            user, _, address = database.partition("@")
            url = f"{user.partition('://')[0]}://versions_reader:secret@{address}"
        with pytest.raises(DefinitionError) as caught:
            tokens(definition, url)
        assert caught.value.message.startswith(reason)
    finally:
        run_sql(database, "DROP OWNED BY versions_reader", "DROP ROLE versions_reader")


@pytest.mark.parametrize("freshness", ["versions", {"probe": "amount"}, "always"])
def test_truncate_between_the_snapshot_and_the_read_is_detected(tmp_path: Path, database: str, freshness: Any) -> None:
    definition = versioned_report(tmp_path, freshness=freshness)
    request = request_of(definition)
    partitions = request.date_range.partitions(definition.partition)
    with open_transaction(session_of(database)) as transaction:
        transaction.fetch_own("SELECT 1")  # takes the snapshot
        run_sql(database, "TRUNCATE events")
        columns = query_columns(definition, request, partitions[0], transaction=transaction)
        read_tokens = partial(freshness_tokens, definition, request, partitions, columns=columns)
        check_rows = partial(ensure_consistent_read, definition)  # with `always`, there are no tokens
        read = check_rows if freshness == "always" else read_tokens
        with pytest.raises(SourceUnavailableError, match=r"public\.events was emptied, rewritten or repartitioned"):
            read(transaction=transaction)


def test_table_replaced_between_the_snapshot_and_the_read_can_be_retried(tmp_path: Path, database: str) -> None:
    definition = versioned_report(tmp_path)
    with open_transaction(session_of(database)) as transaction:
        transaction.fetch_own("SELECT 1")
        replace = "CREATE TABLE new (LIKE events); DROP TABLE events; ALTER TABLE new RENAME TO events"
        run_sql(database, f"BEGIN; {replace}; COMMIT")
        partitions = request_of(definition).date_range.partitions(definition.partition)
        with pytest.raises(SourceUnavailableError, match=r"public\.events was replaced while it was read"):
            version_tokens(definition, partitions, transaction=transaction)


def test_check_names_unlisted_tables(tmp_path: Path, database: str) -> None:
    run_sql(database, "CREATE TABLE kinds (kind text, name text)", "CREATE MATERIALIZED VIEW joined AS TABLE events")
    sql = "SELECT e.* FROM joined e LEFT JOIN kinds USING (kind) WHERE at >= %(start)s AND at < %(end)s"
    definition = versioned_report(tmp_path, tables=[{"name": "joined", "time_column": "at"}], sql=sql)
    advice = validate_query(definition, session=session_of(database))
    assert [line for line in advice if "source.tables" in line] == [
        "the query reads public.kinds, which is not in source.tables: Quire will not detect its changes"
    ]


def test_run_extracts_only_partitions_with_changed_rows(tmp_path: Path, database: str, bucket: S3Store) -> None:
    definition = versioned_report(tmp_path)

    def extracted() -> list[str]:
        outcome = run_report(definition, request_of(definition), session=session_of(database), store=bucket)
        return [part.key for part in outcome.partitions if not part.cache_hit]

    assert extracted() == MONTHS
    assert extracted() == []
    run_sql(database, "UPDATE events SET amount = 3 WHERE id = 3")
    assert extracted() == ["2013-02"]
    run_sql(database, "TRUNCATE events")
    assert extracted() == MONTHS


@pytest.mark.parametrize("seed", range(2))
def test_stored_rows_match_their_token_under_concurrent_writes(
    tmp_path: Path, fresh_database: str, bucket: S3Store, seed: int
) -> None:
    run_sql(
        fresh_database,
        PARTITIONED.format(kind="timestamptz"),
        "INSERT INTO events SELECT n, '2013-01-01'::timestamptz + n * interval '1 day', 'a', 0 "
        "FROM generate_series(4, 89) AS n",
    )
    report = versioned_report(tmp_path, partition="week")
    freeze = partial(run_sql, fresh_database, "VACUUM (FREEZE) events")
    store_during_writes(report, fresh_database, bucket, read_tokens=version_tokens, maintenance=[freeze], seed=seed)
