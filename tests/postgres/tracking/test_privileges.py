"""Writers and readers need no privileges on the change log, and an owner need not be a superuser."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from quire.dev_stack.flights import READER, reader_role_statements
from quire.dev_stack.postgres_server import PostgresServer
from quire.errors import NotTrackedError, QueryError
from quire.postgres.tracking.installation import track, untrack

from tests.postgres.tracking.tables import EVENTS, PARTITIONED, ask, objects, run_sql, stale, tokens, tracked_report

pytestmark = pytest.mark.server


@pytest.fixture
def database(fresh_database: str) -> str:
    run_sql(fresh_database, PARTITIONED.format(kind="timestamptz"), "CREATE TABLE kinds (kind text, name text)")
    return fresh_database


def login(server: PostgresServer, url: str, role: str) -> str:
    """Allows a role to log in, and returns its URL. Roles outlive databases, so every test uses the same password."""
    run_sql(
        url,
        f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER ROLE {role} LOGIN PASSWORD 'reader'",
    )
    return server.url(url.rpartition("/")[2], user=role, password="reader")


def test_writer_without_log_privileges_is_logged_but_cannot_access_log(
    tmp_path: Path, database: str, postgres_server: PostgresServer
) -> None:
    writer = login(postgres_server, database, "test_writer")
    run_sql(database, "GRANT INSERT, UPDATE, DELETE, SELECT ON events, events_old TO test_writer")
    definition = tracked_report(tmp_path)
    track(definition, database)
    before = tokens(definition, database)
    run_sql(
        writer,
        "CREATE TEMPORARY TABLE pg_attribute (attrelid oid)",  # shadows the system catalog unless search_path is set
        "SET search_path = pg_temp; UPDATE public.events SET amount = 7 WHERE id = 1",
        "DELETE FROM public.events_old",
    )
    assert stale(before, tokens(definition, database)) == ["2013-01"]
    for statement in (
        "INSERT INTO quire.change_log VALUES ('events', 'at', NULL, 1)",
        "DELETE FROM quire.change_log",
        "SELECT FROM quire.change_log",
        "UPDATE quire.readable_tables SET epoch = gen_random_uuid()",
        "DELETE FROM quire.readable_changes",
        "SELECT quire.bucket(now())",
        "CREATE TRIGGER mine AFTER INSERT ON pg_temp.t EXECUTE FUNCTION quire.log_row('at')",
        "CREATE TABLE quire.mine (n integer)",
    ):
        with psycopg.connect(writer) as connection:
            connection.execute("CREATE TEMPORARY TABLE t (n integer)")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_reader_sees_changes_of_readable_tables_only(
    tmp_path: Path, database: str, postgres_server: PostgresServer
) -> None:
    run_sql(database, "CREATE SCHEMA private; CREATE TABLE private.pay (n integer)", reader_role_statements())
    reader = login(postgres_server, database, READER)
    definition = tracked_report(tmp_path, tables=[EVENTS, "kinds"])
    secret = tracked_report(tmp_path, tables=["private.pay"]).model_copy(update={"name": "secret"})
    track(definition, database)
    track(secret, database)
    run_sql(database, "INSERT INTO private.pay VALUES (1)", "UPDATE events SET amount = 7")
    assert tokens(definition, reader) == tokens(definition, database)
    assert ask(reader, "SELECT DISTINCT relation::text FROM quire.readable_changes") == [("events",)]
    assert len(ask(reader, "SELECT FROM quire.readable_tables")) == 2
    with pytest.raises(QueryError, match="permission denied for schema private"):
        tokens(secret, reader)
    run_sql(database, f"REVOKE SELECT ON kinds FROM {READER}")
    with pytest.raises(NotTrackedError, match="changes to kinds are not tracked, or this role cannot read it"):
        tokens(definition, reader)


def test_track_as_other_role_raises_one_line(tmp_path: Path, database: str, postgres_server: PostgresServer) -> None:
    other = login(postgres_server, database, "test_stranger")
    with pytest.raises(QueryError, match=r"^events: PostgreSQL rejected the query: permission denied for database"):
        track(tracked_report(tmp_path), other)


def test_track_as_owner_without_superuser_succeeds(
    tmp_path: Path, database: str, postgres_server: PostgresServer
) -> None:
    owner = login(postgres_server, database, "test_owner")
    run_sql(
        database,
        f"GRANT CREATE ON DATABASE {database.rpartition('/')[2]} TO test_owner",
        "GRANT ALL ON SCHEMA public TO test_owner",
    )
    run_sql(owner, "CREATE TABLE own (at timestamptz)")
    definition = tracked_report(tmp_path, tables=[{"name": "own", "time_column": "at"}])
    before = objects(database)
    track(definition, owner)
    first = tokens(definition, owner)
    run_sql(owner, "INSERT INTO own VALUES ('2013-02-02')")
    assert stale(first, tokens(definition, owner)) == ["2013-02"]
    untrack(definition.name, owner)
    assert objects(database) == before
