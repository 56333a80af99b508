"""reader_role.sql grants privileges to the reader only, and harden_database.sql revokes privileges from PUBLIC."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier
from quire.dev_stack.flights import HARDENING, READER, READER_ROLE, reader_role_statements
from quire.dev_stack.postgres_server import PostgresServer, program
from quire.postgres import open_transaction

from tests.events import fill_events, session_of
from tests.postgres.tracking.tables import run_sql

pytestmark = pytest.mark.server

# Every other role's privileges on schemas, relations, functions and the database, and its default privileges.
OTHER_PRIVILEGES = f"""
SELECT kind, name, acl FROM (
    SELECT 'schema' AS kind, nspname::text AS name, unnest(nspacl) AS acl FROM pg_namespace
    UNION ALL SELECT 'relation', oid::regclass::text, unnest(relacl) FROM pg_class
    UNION ALL SELECT 'function', oid::regprocedure::text, unnest(proacl) FROM pg_proc
    UNION ALL SELECT 'database', datname::text, unnest(coalesce(datacl, acldefault('d', datdba))) FROM pg_database
     WHERE datname = current_database()
    UNION ALL SELECT 'default', defaclobjtype::text, unnest(defaclacl) FROM pg_default_acl
) AS rights WHERE acl::text NOT LIKE '{READER}=%' ORDER BY kind, name, acl::text
"""


def psql(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("psql"), "-X", "-q", "-d", url, *options], capture_output=True, text=True)


@pytest.fixture
def reader_url(postgres_server: PostgresServer, fresh_database: str) -> str:
    """The reader's URL for a hardened database with events, a private table, and a table created after the reader."""
    fill_events(fresh_database)
    with psycopg.connect(fresh_database, autocommit=True) as owner:
        for _ in range(2):  # the scripts are idempotent
            owner.execute(reader_role_statements().encode())
            owner.execute(HARDENING.read_bytes())
        owner.execute(f"ALTER ROLE {READER} PASSWORD 'reader'")
        owner.execute("CREATE TABLE later AS SELECT 1 AS n; CREATE SCHEMA private; CREATE TABLE private.pay (n int)")
    return postgres_server.url(fresh_database.rpartition("/")[2], user=READER, password="reader")


@pytest.fixture
def application_url(postgres_server: PostgresServer, fresh_database: str) -> Iterator[str]:
    """The URL for another application, whose role has no explicit privileges."""
    name = f"application_{uuid.uuid4().hex}"
    run_sql(fresh_database, f"CREATE ROLE {name} LOGIN PASSWORD 'application'")
    yield postgres_server.url(fresh_database.rpartition("/")[2], user=name, password="application")
    run_sql(fresh_database, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_reader_role_script_keeps_privileges_of_other_roles(
    tmp_path: Path, fresh_database: str, application_url: str
) -> None:
    run_sql(fresh_database, "GRANT CREATE ON SCHEMA public TO PUBLIC")
    with psycopg.connect(fresh_database) as owner:
        before = owner.execute(OTHER_PRIVILEGES).fetchall()
    done = psql(fresh_database, "-f", str(READER_ROLE))
    assert (done.returncode, done.stderr) == (0, "")
    with psycopg.connect(fresh_database) as owner:
        assert owner.execute(OTHER_PRIVILEGES).fetchall() == before
    with psycopg.connect(application_url) as application:
        application.execute("CREATE TEMPORARY TABLE scratch (n integer)")
        application.execute("SELECT lo_create(0)")
        application.execute("CREATE TABLE public.own (n integer)")


def test_hardening_revokes_documented_privileges_from_public(fresh_database: str, application_url: str) -> None:
    with psycopg.connect(application_url) as application:
        done = psql(fresh_database, "-f", str(HARDENING))
        assert (done.returncode, done.stderr) == (0, "")
        for statement in ("CREATE TEMPORARY TABLE scratch (n integer)", "SELECT lo_create(0)"):
            with pytest.raises(errors.InsufficientPrivilege), application.transaction():
                application.execute(statement)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(application_url)


def test_hardening_revokes_later_functions_and_lists_earlier_ones(fresh_database: str, application_url: str) -> None:
    create = "CREATE {} public.{}(n integer) {} LANGUAGE sql SECURITY DEFINER"
    run_sql(
        fresh_database,
        create.format("FUNCTION", "early", "RETURNS integer") + " RETURN n",
        create.format("PROCEDURE", "closed", "") + " AS 'SELECT 1'; REVOKE ALL ON PROCEDURE closed FROM PUBLIC",
        "CREATE FUNCTION public.harmless() RETURNS integer LANGUAGE sql RETURN 1",
    )
    with psycopg.connect(application_url, autocommit=True) as application:
        done = psql(fresh_database, "-f", str(HARDENING))
        assert (done.returncode, done.stderr.count("\n")) == (0, 1)
        assert "every role can call these functions, which run with their owner's rights: early(integer). " in (
            done.stderr
        )
        run_sql(fresh_database, create.format("FUNCTION", "late", "RETURNS integer") + " RETURN n")
        assert application.execute("SELECT public.early(1)").fetchone() == (1,)
        with pytest.raises(errors.InsufficientPrivilege):
            application.execute("SELECT public.late(1)")


@pytest.mark.parametrize(
    ("before", "warnings"),
    [
        ("", []),
        ("CREATE ROLE planted_reader LOGIN NOINHERIT", []),
        (
            "SET ROLE planter; CREATE ROLE planted_reader LOGIN PASSWORD 'known'; RESET ROLE",
            ["other roles can act as planted_reader and may know its password: REVOKE planted_reader FROM planter,"],
        ),
        (
            "CREATE ROLE planted_reader LOGIN CREATEDB BYPASSRLS; "
            "GRANT pg_read_all_data, pg_write_all_data TO planted_reader",
            ["rights beyond reading: CREATEDB, BYPASSRLS, member of pg_read_all_data, pg_write_all_data. Revoke"],
        ),
    ],
)
def test_reader_role_script_warns_of_other_members_and_privileges(
    fresh_database: str, before: str, warnings: list[str]
) -> None:
    notices: list[str] = []
    with psycopg.connect(fresh_database) as owner:  # the transaction is rolled back, because roles outlive the database
        owner.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        owner.execute(f"CREATE ROLE planter CREATEROLE; {before}")
        script = reader_role_statements().replace(READER, "planted_reader")
        owner.execute(script.encode())
        assert [warning in notice for warning, notice in zip(warnings, notices, strict=True)] == [True] * len(warnings)
        if "FROM planter" in "".join(notices):  # the command that the warning suggests solves the problem
            owner.execute("REVOKE planted_reader FROM planter")
            notices.clear()
            owner.execute(script.encode())
            assert notices == []
        owner.rollback()


def test_reader_role_script_grants_given_schemas_only(postgres_server: PostgresServer, fresh_database: str) -> None:
    run_sql(
        fresh_database,
        """CREATE SCHEMA sales; CREATE SCHEMA "Old ""Sales"; CREATE TABLE open (n int); CREATE TABLE sales.t (n int)""",
        """CREATE TABLE "Old ""Sales".t (n int)""",
    )
    done = psql(fresh_database, "-v", """schemas= sales, "Old ""Sales" """, "-f", str(READER_ROLE))
    assert (done.returncode, done.stderr) == (0, "")
    run_sql(fresh_database, f"ALTER ROLE {READER} PASSWORD 'reader'; CREATE TABLE sales.later (n int)")
    reader = postgres_server.url(fresh_database.rpartition("/")[2], user=READER, password="reader")
    with psycopg.connect(reader, autocommit=True) as connection:
        for table in ("sales.t", "sales.later", '"Old ""Sales".t'):
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == []
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM public.open")


@pytest.mark.parametrize(
    ("schemas", "reason"),
    [
        ("no_such", 'schema "no_such" does not exist'),
        ("sales.t", "sales.t is not the name of a schema"),
        ("a b", "a b"),
    ],
)
def test_reader_role_script_with_invalid_schema_fails(fresh_database: str, schemas: str, reason: str) -> None:
    done = psql(fresh_database, "-v", f"schemas={schemas}", "-f", str(READER_ROLE))
    assert (done.returncode, reason in done.stderr) == (3, True), done.stderr


def test_reader_reads_existing_and_later_tables(reader_url: str) -> None:
    with open_transaction(session_of(reader_url)) as transaction:
        assert transaction.fetch("SELECT count(*) AS n FROM events") == [{"n": 6}]
        assert transaction.fetch("SELECT n FROM later") == [{"n": 1}]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO events (id) VALUES (7)",
        "UPDATE events SET note = ''",
        "DELETE FROM events",
        "TRUNCATE events",
        "DROP TABLE events",
        "ALTER TABLE events ADD n int",
        "CREATE INDEX ON events (at)",
        "CREATE TRIGGER t AFTER INSERT ON events EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE TABLE made (n int)",
        "CREATE TEMPORARY TABLE made (n int)",
        "CREATE SCHEMA made",
        "CREATE DATABASE made",
        "CREATE ROLE made",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT * FROM private.pay",
        "SELECT * FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY events TO '/tmp/events'",
        "COPY events TO PROGRAM 'cat'",
        "SET ROLE postgres",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "SELECT pg_reload_conf()",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    ],
)
def test_reader_cannot_write_even_with_changed_settings(reader_url: str, statement: str) -> None:
    with psycopg.connect(reader_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off; SET statement_timeout = 0")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


def test_reader_role_script_runs_without_superuser(postgres_server: PostgresServer, fresh_database: str) -> None:
    """On a managed server, the initial role can create other roles, but it is not a superuser."""
    database = fresh_database.rpartition("/")[2]
    scripts = [text.replace(READER, "shop_reader") for text in (reader_role_statements(), HARDENING.read_text())]
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute("CREATE ROLE shop_owner LOGIN CREATEROLE PASSWORD 'owner'")
        admin.execute(f"ALTER DATABASE {database} OWNER TO shop_owner")
        try:
            with psycopg.connect(postgres_server.url(database, user="shop_owner", password="owner")) as owner:
                owner.execute("CREATE TABLE mine AS SELECT 1 AS n")
                for script in scripts * 2:
                    owner.execute(script.encode())
                owner.execute("ALTER ROLE shop_reader PASSWORD 'reader'")
            reader = postgres_server.url(database, user="shop_reader", password="reader")
            with open_transaction(session_of(reader)) as transaction:
                assert transaction.fetch("SELECT n FROM mine") == [{"n": 1}]
        finally:
            with psycopg.connect(fresh_database, autocommit=True) as here:
                for role in ("shop_reader", "shop_owner"):
                    if here.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is not None:
                        here.execute(SQL("DROP OWNED BY {}").format(Identifier(role)))
            admin.execute(f"ALTER DATABASE {database} OWNER TO postgres; DROP ROLE IF EXISTS shop_reader, shop_owner")
