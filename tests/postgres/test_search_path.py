"""Quire warns about schemas on a reader's search_path where other roles can create objects that queries would use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from quire.cli.check import validate_query
from quire.dev_stack.flights import READER, reader_role_statements
from quire.dev_stack.postgres_server import PostgresServer
from quire.postgres import open_transaction

from tests.events import events_report, fill_events, session_of
from tests.planted import ATTACKER, attacker_url
from tests.postgres.tracking.tables import run_sql
from tests.postgres.tracking.test_privileges import login

pytestmark = pytest.mark.server

SQL = "SELECT id, at, kind, amount, weight, note FROM events WHERE at >= %(start)s AND at < %(end)s ORDER BY at, id\n"
EVENTS_TABLE = "CREATE TABLE sales.events (id int, at timestamptz, kind text, amount numeric, weight real, note text)"
FORGED = "CREATE VIEW {schema}.events AS SELECT 1 AS id"


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    run_sql(fresh_database, reader_role_statements())
    return fresh_database


@pytest.fixture
def reader(postgres_server: PostgresServer, database: str) -> Iterator[str]:
    """The reader's URL. The role's settings are reset after each test, because roles outlive databases."""
    yield login(postgres_server, database, READER)
    run_sql(database, f"ALTER ROLE {READER} RESET search_path")


def advice(tmp_path: Path, url: str) -> list[str]:
    definition = events_report(tmp_path, sql=SQL)
    return [line for line in validate_query(definition, session=session_of(url)) if "search_path" in line]


def path_of(url: str) -> str:
    with open_transaction(session_of(url)) as transaction:
        return str(transaction.fetch("SELECT pg_catalog.current_setting('search_path') AS path")[0]["path"])


def test_schema_named_like_the_reader_does_not_shadow_public(
    postgres_server: PostgresServer, database: str, reader: str
) -> None:
    attacker = attacker_url(postgres_server, database, creates_schemas=True)
    run_sql(
        attacker,
        f"CREATE SCHEMA {READER}; GRANT USAGE ON SCHEMA {READER} TO PUBLIC",
        FORGED.format(schema=READER),
        f"GRANT SELECT ON {READER}.events TO PUBLIC",
    )
    with open_transaction(session_of(reader)) as transaction:
        assert transaction.fetch("SELECT count(*) AS n FROM events") == [{"n": 6}]


def test_reader_search_path_contains_granted_schemas_only(
    postgres_server: PostgresServer, database: str, reader: str
) -> None:
    assert path_of(reader) == "public, pg_temp"
    run_sql(database, 'CREATE SCHEMA "Old Sales"; CREATE SCHEMA archive', reader_role_statements('"Old Sales",archive'))
    assert path_of(reader) == 'public, "Old Sales", archive, pg_temp'


def test_reader_search_path_omits_public_unless_granted(postgres_server: PostgresServer, fresh_database: str) -> None:
    run_sql(fresh_database, "CREATE SCHEMA sales", reader_role_statements("sales"))
    assert path_of(login(postgres_server, fresh_database, READER)) == "sales, pg_temp"


def test_reader_search_path_applies_to_one_database_only(
    postgres_server: PostgresServer, database: str, reader: str
) -> None:
    elsewhere = postgres_server.url("postgres", user=READER, password="reader")
    assert path_of(elsewhere) == '"$user", public'


def test_reader_role_script_warns_owner_who_cannot_alter_reader(postgres_server: PostgresServer, database: str) -> None:
    name = database.rpartition("/")[2]
    owner = login(postgres_server, database, "test_plain_owner")
    run_sql(
        database,
        f"ALTER DATABASE {name} OWNER TO test_plain_owner; ALTER TABLE events OWNER TO test_plain_owner",
    )
    notices = list[str]()
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        connection.execute(reader_role_statements().encode())
    (notice,) = (notice for notice in notices if "search_path" in notice)
    command = f"ALTER ROLE {READER} IN DATABASE {name} SET search_path = public, pg_temp"
    assert notice.endswith(f"may not alter it. Run as a role that may alter it: {command}")
    run_sql(database, f"ALTER DATABASE {name} OWNER TO postgres; REASSIGN OWNED BY test_plain_owner TO postgres")


def test_check_safe_search_path_prints_nothing(tmp_path: Path, database: str, reader: str) -> None:
    assert advice(tmp_path, reader) == []
    assert advice(tmp_path, database) == []


@pytest.mark.parametrize("to_all", [False, True])
def test_check_lists_role_that_can_create_objects_in_public(
    tmp_path: Path, postgres_server: PostgresServer, database: str, reader: str, to_all: bool
) -> None:
    attacker_url(postgres_server, database)
    if to_all:
        run_sql(database, f"REVOKE ALL ON SCHEMA public FROM {ATTACKER}; GRANT CREATE ON SCHEMA public TO PUBLIC")
    (line,) = advice(tmp_path, reader)
    creator = "every role (PUBLIC)" if to_all else ATTACKER
    assert creator in line
    assert f"REVOKE CREATE ON SCHEMA public FROM {'PUBLIC' if to_all else ATTACKER}" in line
    assert READER in line


def test_check_lists_owner_of_schema_named_like_the_reader(
    tmp_path: Path, postgres_server: PostgresServer, database: str, reader: str
) -> None:
    run_sql(database, f"ALTER ROLE {READER} IN DATABASE {database.rpartition('/')[2]} RESET search_path")
    attacker = attacker_url(postgres_server, database, creates_schemas=True)
    run_sql(database, f"REVOKE CREATE ON SCHEMA public FROM {ATTACKER}")
    (possible,) = advice(tmp_path, reader)
    assert ATTACKER in possible
    assert f"schema {READER}, which does not exist" in possible
    run_sql(
        attacker,
        f"CREATE SCHEMA {READER}; GRANT USAGE ON SCHEMA {READER} TO PUBLIC",
        f"REVOKE CREATE ON SCHEMA {READER} FROM {ATTACKER}",
    )
    (line,) = advice(tmp_path, reader)
    assert ATTACKER in line
    assert f"objects in schema {READER}, which is on" in line


def test_reader_role_script_again_adds_no_foreign_schema(
    postgres_server: PostgresServer, database: str, reader: str
) -> None:
    run_sql(database, 'CREATE SCHEMA "Old ""Sales"; CREATE SCHEMA gone', reader_role_statements('"Old ""Sales", gone'))
    attacker = attacker_url(postgres_server, database, creates_schemas=True)
    run_sql(attacker, f"CREATE SCHEMA aaa; GRANT USAGE ON SCHEMA aaa TO {READER}")
    run_sql(database, "DROP SCHEMA gone; CREATE SCHEMA archive", reader_role_statements("archive"))
    assert path_of(reader) == 'public, "Old ""Sales", archive, pg_temp'


def test_check_lists_owner_of_schema_that_precedes_the_tables(
    tmp_path: Path, postgres_server: PostgresServer, database: str, reader: str
) -> None:
    attacker = attacker_url(postgres_server, database, creates_schemas=True)
    run_sql(attacker, f"CREATE SCHEMA aaa; GRANT USAGE ON SCHEMA aaa TO {READER}")
    run_sql(database, f"REVOKE CREATE ON SCHEMA public FROM {ATTACKER}")
    run_sql(database, f"ALTER ROLE {READER} IN DATABASE {database.rpartition('/')[2]} SET search_path = aaa, public")
    (line,) = advice(tmp_path, reader)
    assert ATTACKER in line
    assert "objects in schema aaa, which is on" in line
    assert "REVOKE" not in line
    run_sql(database, f"ALTER ROLE {READER} IN DATABASE {database.rpartition('/')[2]} SET search_path = public, aaa")
    assert advice(tmp_path, reader) == []


def test_check_trusts_role_that_owns_schemas_and_tables(
    tmp_path: Path, postgres_server: PostgresServer, fresh_database: str
) -> None:
    application = login(postgres_server, fresh_database, "test_sales")
    run_sql(fresh_database, *(f"CREATE SCHEMA {name} AUTHORIZATION test_sales" for name in ("archive", "sales")))
    run_sql(application, "CREATE TABLE archive.old (id int)", EVENTS_TABLE)
    run_sql(fresh_database, reader_role_statements("archive, sales"))
    assert advice(tmp_path, login(postgres_server, fresh_database, READER)) == []
    run_sql(fresh_database, "DROP SCHEMA archive CASCADE; DROP SCHEMA sales CASCADE")


def test_check_trusts_owners_of_granted_schemas(
    tmp_path: Path, postgres_server: PostgresServer, database: str, reader: str
) -> None:
    login(postgres_server, database, "test_sales")
    run_sql(database, "CREATE SCHEMA sales AUTHORIZATION test_sales", reader_role_statements("sales"))
    assert advice(tmp_path, reader) == []
    run_sql(database, "DROP SCHEMA sales")
