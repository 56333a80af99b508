"""If another role owns the ``quire`` schema, commands fail with a one-line error, and none of the role's code runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from quire.dev_stack.flights import READER, reader_role_statements
from quire.dev_stack.postgres_server import PostgresServer
from quire.errors import NotTrackedError, SourceUnavailableError, UntrustedSchemaError
from quire.inbound_webhooks.delivery_tables import install_tables, validate_webhook
from quire.inbound_webhooks.ingest import ingest
from quire.postgres.schema_owner import INSTALLATION_LOCK
from quire.postgres.tracking.installation import compact, track, untrack

from tests.events import fill_events
from tests.inbound_webhooks.shop import TABLE, body_of, event_of, write_webhook
from tests.planted import ATTACKER, attacker_url, was_hijacked
from tests.postgres.tracking.tables import EVENTS, ask, run_sql, tokens, tracked_report
from tests.postgres.tracking.test_privileges import login

pytestmark = pytest.mark.server

# All objects that Quire uses in the schema, each with code that runs when the object is used.
TRAP = """
CREATE SEQUENCE public.runs;
GRANT USAGE, SELECT ON SEQUENCE public.runs TO PUBLIC;
CREATE FUNCTION public.spring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM nextval('public.runs'); RETURN NULL; END $$;
CREATE FUNCTION public.spring(anyelement) RETURNS anyelement LANGUAGE plpgsql AS $$
BEGIN PERFORM nextval('public.runs'); RETURN $1; END $$;
CREATE SCHEMA quire;
CREATE TABLE quire.tracking (report text, relation regclass, time_column name);
CREATE TABLE quire.tracked_table (
    relation regclass, time_column name, column_type regtype, nodes regclass[], epoch uuid);
CREATE TABLE quire.change_log (relation regclass, time_column name, bucket timestamp, n bigint);
CREATE TABLE quire.webhook_event (source text, event_id text, body_sha256 bytea, received_at timestamptz DEFAULT now(),
    PRIMARY KEY (source, event_id));
CREATE TABLE quire.webhook_record (source text, key text[], state jsonb, applied boolean DEFAULT false,
    changed_at timestamptz, PRIMARY KEY (source, key));
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tracking', 'tracked_table', 'change_log', 'webhook_event', 'webhook_record'] LOOP
        EXECUTE format('CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON quire.%I ', name)
            || 'EXECUTE FUNCTION public.spring()';
    END LOOP;
END $$;
CREATE VIEW quire.readable_tables AS SELECT relation, time_column, column_type, nodes, public.spring(epoch) AS epoch
    FROM quire.tracked_table;
CREATE VIEW quire.readable_changes AS SELECT relation, time_column, bucket, public.spring(n) AS n FROM quire.change_log;
GRANT ALL ON SCHEMA quire TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA quire TO PUBLIC;
"""


@pytest.fixture
def attacker(postgres_server: PostgresServer, fresh_database: str) -> str:
    """The URL for a role that can create schemas, in a database where another role owns the events."""
    fill_events(fresh_database)
    run_sql(fresh_database, TABLE, reader_role_statements())
    return attacker_url(postgres_server, fresh_database, creates_schemas=True)


def test_schema_of_other_role_is_rejected_without_running_its_code(
    tmp_path: Path, postgres_server: PostgresServer, fresh_database: str, attacker: str
) -> None:
    definition, source = tracked_report(tmp_path), write_webhook(tmp_path)
    event = event_of(source, body_of(1, customer="Ann"))
    run_sql(attacker, TRAP)
    actions: list[Callable[[], object]] = [
        lambda: track(definition, fresh_database),
        lambda: untrack(definition.name, fresh_database),
        lambda: compact(fresh_database),
        lambda: install_tables(source, writer_url=fresh_database, owner_url=fresh_database),
        lambda: validate_webhook(source, url=fresh_database),
        lambda: ingest(source, event, body_sha256=b"", url=fresh_database),
    ]
    for action in actions:
        with pytest.raises(UntrustedSchemaError, match=f"schema quire belongs to {ATTACKER}") as caught:
            action()
        assert "\n" not in str(caught.value)
    assert not was_hijacked(fresh_database)


def test_reader_rejects_view_of_other_role(
    tmp_path: Path, postgres_server: PostgresServer, fresh_database: str, attacker: str
) -> None:
    """The triggers on the tables are valid, but the view has a new owner."""
    definition = tracked_report(tmp_path)
    reader = login(postgres_server, fresh_database, READER)
    track(definition, fresh_database)
    tokens(definition, reader)
    run_sql(fresh_database, f"ALTER VIEW quire.readable_changes OWNER TO {ATTACKER}")
    with pytest.raises(NotTrackedError, match=f"schema quire belongs to {ATTACKER}, which does not own public.events"):
        tokens(definition, reader)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE TABLE quire.own (n integer)", "table quire.own belongs to test_attacker, not to postgres"),
        ("CREATE SEQUENCE quire.own", "sequence quire.own belongs to test_attacker"),
        ("CREATE TYPE quire.own AS ENUM ('a')", "type quire.own belongs to test_attacker"),
        (
            "CREATE FUNCTION quire.bucket(integer) RETURNS timestamp LANGUAGE sql RETURN NULL::timestamp",
            r"function quire.bucket\(integer\) belongs to test_attacker",
        ),
        (
            "CREATE FUNCTION public.f(regclass, oid) RETURNS boolean LANGUAGE sql RETURN true; "
            "CREATE OPERATOR quire.= (LEFTARG = regclass, RIGHTARG = oid, FUNCTION = public.f)",
            r"operator quire.=\(regclass,oid\) belongs to test_attacker",
        ),
        (
            "CREATE VIEW quire.tracking AS SELECT 1 AS n",
            "view quire.tracking belongs to test_attacker, not to postgres: connect as its owner, or",
        ),
    ],
)
def test_track_and_untrack_reject_object_of_other_role(
    tmp_path: Path, fresh_database: str, attacker: str, statement: str, reason: str
) -> None:
    definition = tracked_report(tmp_path)
    run_sql(fresh_database, f"CREATE SCHEMA quire; GRANT USAGE, CREATE ON SCHEMA quire TO {ATTACKER}")
    run_sql(attacker, statement)
    run_sql(fresh_database, f"REVOKE ALL ON SCHEMA quire FROM {ATTACKER}")
    actions: list[Callable[[], object]] = [
        lambda: track(definition, fresh_database),
        lambda: untrack(definition.name, fresh_database),
    ]
    for action in actions:
        with pytest.raises(UntrustedSchemaError, match=reason):
            action()


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (
            "GRANT CREATE ON SCHEMA quire TO PUBLIC",
            "PUBLIC has CREATE on quire: REVOKE ALL ON SCHEMA quire FROM",
        ),
        (
            f"GRANT CREATE ON SCHEMA quire TO {ATTACKER}",
            "test_attacker has CREATE on quire: REVOKE ALL ON SCHEMA",
        ),
        (
            f"GRANT SELECT, TRIGGER ON quire.change_log TO {ATTACKER}",
            "test_attacker has TRIGGER on quire.change_log: REVOKE ALL ON TABLE quire.change_log FROM test_attacker",
        ),
        (f"GRANT INSERT ON quire.tracked_table TO {ATTACKER}", "test_attacker has INSERT on quire.tracked_table"),
        (
            f"GRANT SELECT (n), INSERT (relation, bucket, n), UPDATE (relation, n) ON quire.change_log TO {ATTACKER}",
            "test_attacker has INSERT, UPDATE on quire.change_log: REVOKE ALL ON TABLE quire.change_log FROM test_att",
        ),
        ("GRANT UPDATE (epoch) ON quire.tracked_table TO PUBLIC", "PUBLIC has UPDATE on quire.tracked_table: REVOKE"),
        (
            "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
            "CREATE TRIGGER mine AFTER INSERT ON quire.change_log EXECUTE FUNCTION public.f()",
            "quire.change_log has a trigger that is not Quire's: DROP TRIGGER mine ON quire.change_log",
        ),
    ],
)
def test_track_and_compact_reject_grants_and_triggers_of_others(
    tmp_path: Path, fresh_database: str, attacker: str, grant: str, reason: str
) -> None:
    definition = tracked_report(tmp_path)
    track(definition, fresh_database)
    run_sql(fresh_database, grant)
    actions: list[Callable[[], object]] = [
        lambda: track(definition, fresh_database),
        lambda: compact(fresh_database),
    ]
    for action in actions:
        with pytest.raises(UntrustedSchemaError, match=reason):
            action()


def test_suggested_revoke_removes_column_grants_too(tmp_path: Path, fresh_database: str, attacker: str) -> None:
    definition = tracked_report(tmp_path)
    track(definition, fresh_database)
    run_sql(fresh_database, f"GRANT INSERT (relation, n), UPDATE (n) ON quire.change_log TO {ATTACKER}")
    with pytest.raises(UntrustedSchemaError) as caught:
        track(definition, fresh_database)
    run_sql(fresh_database, f"REVOKE{caught.value.message.rpartition('REVOKE')[2]}")
    track(definition, fresh_database)


def test_default_privileges_do_not_apply_to_installed_objects(
    tmp_path: Path, fresh_database: str, attacker: str
) -> None:
    run_sql(
        fresh_database,
        f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {ATTACKER}, PUBLIC",
        f"ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO {ATTACKER}",
    )
    definition, source = tracked_report(tmp_path, tables=[EVENTS]), write_webhook(tmp_path)
    for _ in range(2):
        track(definition, fresh_database)
        install_tables(source, writer_url=fresh_database, owner_url=fresh_database)
    run_sql(attacker, "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    for statement in (
        "CREATE TRIGGER mine AFTER INSERT ON quire.change_log EXECUTE FUNCTION public.f()",
        "CREATE TRIGGER mine AFTER INSERT ON quire.webhook_event EXECUTE FUNCTION public.f()",
        "CREATE TABLE quire.own (n integer)",
        "INSERT INTO quire.change_log VALUES ('events', 'at', NULL, 1)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run_sql(attacker, statement)


def test_tokens_trigger_with_other_function_counts_as_missing(
    tmp_path: Path, fresh_database: str, attacker: str
) -> None:
    definition = tracked_report(tmp_path)
    track(definition, fresh_database)
    run_sql(
        fresh_database,
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "DO $$ BEGIN EXECUTE (SELECT format('CREATE OR REPLACE TRIGGER %I AFTER INSERT ON events EXECUTE FUNCTION "
        "public.f(); ALTER TABLE events ENABLE ALWAYS TRIGGER %1$I', tgname) FROM pg_trigger WHERE tgname LIKE "
        "'quire\\_insert%'); END $$",
    )
    with pytest.raises(NotTrackedError, match=r"changes to public\.events are not tracked"):
        tokens(definition, fresh_database)


def test_track_waits_limited_time_for_installation_lock(tmp_path: Path, fresh_database: str, attacker: str) -> None:
    """Any role can acquire an advisory lock."""
    with psycopg.connect(attacker, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s::bigint)", [INSTALLATION_LOCK])
        with pytest.raises(SourceUnavailableError, match="lock timeout"):
            track(tracked_report(tmp_path), fresh_database, lock_seconds=1)
    assert ask(fresh_database, "SELECT to_regnamespace('quire')") == [(None,)]
