"""The role of include/sql/quire/reader_role.sql: what it can do, and that it can do nothing else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier
from quire.local_stack.flights import READER, READER_ROLE
from quire.local_stack.postgres import PostgresServer
from quire.source import open_transaction

from tests.events import fill_events, session_of


@pytest.fixture
def reader_url(postgres_server: PostgresServer, fresh_database: str) -> str:
    """The reader's address of a database with events, a table of another schema, and one made after the role was."""
    fill_events(fresh_database)
    with psycopg.connect(fresh_database, autocommit=True) as owner:
        for _ in range(2):  # it may be run again
            owner.execute(READER_ROLE.read_bytes())
        owner.execute(f"ALTER ROLE {READER} PASSWORD 'reader'")
        owner.execute("CREATE TABLE later AS SELECT 1 AS n; CREATE SCHEMA private; CREATE TABLE private.pay (n int)")
    return postgres_server.url(fresh_database.rpartition("/")[2], user=READER, password="reader")


def test_reader_reads_tables_of_now_and_later(reader_url: str) -> None:
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
def test_reader_can_do_nothing_else_even_with_its_settings_changed(reader_url: str, statement: str) -> None:
    with psycopg.connect(reader_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off; SET statement_timeout = 0")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


def test_owner_who_is_no_superuser_can_make_the_role(postgres_server: PostgresServer, fresh_database: str) -> None:
    """As on managed servers, whose first role may make others and is no superuser."""
    database = fresh_database.rpartition("/")[2]
    script = READER_ROLE.read_text().replace(READER, "shop_reader")
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute("CREATE ROLE shop_owner LOGIN CREATEROLE PASSWORD 'owner'")
        admin.execute(f"ALTER DATABASE {database} OWNER TO shop_owner")
        try:
            with psycopg.connect(postgres_server.url(database, user="shop_owner", password="owner")) as owner:
                owner.execute("CREATE TABLE mine AS SELECT 1 AS n")
                for _ in range(2):
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
