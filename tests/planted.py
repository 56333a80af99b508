"""Plants objects in ``public`` that match calls better than PostgreSQL's own functions and operators.

Each planted function or operator counts calls by roles other than the attacker, and then raises an error. The counter
is a sequence, because rollbacks do not reset a sequence, and read-only transactions cannot advance it.
"""

from __future__ import annotations

import psycopg
from psycopg.sql import SQL, Literal
from quire.dev_stack.postgres_server import PostgresServer

from tests.postgres.tracking.tables import ask, run_sql

ATTACKER = "test_attacker"
_TYPES = (
    'oid int2 int4 int8 numeric text name varchar "char" date timestamp timestamptz regclass regtype regnamespace '
    "jsonb inet oid[] name[] text[] timestamptz[]"
).split()
_ANY_TYPE = (
    "pg_advisory_xact_lock to_regclass to_regnamespace cardinality unnest array_agg concat quote_ident min max sum "
    "count trim_scale jsonb_to_record pg_relation_filenode pg_partition_tree pg_get_userbyid upper bucket"
).split()
_TWO_TYPES = (
    "format has_any_column_privilege has_table_privilege has_schema_privilege pg_has_role width_bucket concat "
    "array_to_string string_agg jsonb_object_agg format_type"
).split()
_OPERATORS = ("=", "<>", "<", ">=", "*", "-", "||", "~~")
_PLANT = """
CREATE SEQUENCE public.runs;
GRANT USAGE, SELECT ON SEQUENCE public.runs TO PUBLIC;
CREATE FUNCTION public.hijack() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_user OPERATOR(pg_catalog.<>) {attacker} THEN
        PERFORM pg_catalog.nextval('public.runs');
        RAISE EXCEPTION 'hijacked as %', current_user;
    END IF;
END $$;
DO $do$
DECLARE
    body CONSTANT text := $$ LANGUAGE plpgsql AS 'BEGIN PERFORM public.hijack(); RETURN NULL; END'$$;
    called text; one text; other text; kind text;
BEGIN
    FOREACH one IN ARRAY {types} LOOP
        FOREACH called IN ARRAY {any_type} LOOP
            kind := CASE WHEN called IN ('count', 'sum', 'cardinality') THEN 'int8' WHEN called IN ('unnest') THEN one
                         ELSE 'text' END;
            EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s', called, one, kind) || body;
        END LOOP;
        FOREACH other IN ARRAY {types} LOOP
            FOREACH called IN ARRAY {two_types} LOOP
                kind := CASE WHEN called LIKE 'has%%' OR called LIKE 'pg_has%%' THEN 'bool' WHEN called = 'width_bucket'
                             THEN 'int4' ELSE 'text' END;
                EXECUTE format('CREATE FUNCTION public.%I(%s, %s) RETURNS %s', called, one, other, kind) || body;
            END LOOP;
            EXECUTE format('CREATE FUNCTION public.planted(%s, %s) RETURNS bool', one, other) || body;
            FOREACH called IN ARRAY {operators} LOOP
                EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.planted)',
                               called, one, other);
            END LOOP;
        END LOOP;
    END LOOP;
END $do$;
"""


def attacker_url(server: PostgresServer, database_url: str, *, creates_schemas: bool = False) -> str:
    """Returns the URL for a role that can create objects in ``public`` and, optionally, schemas."""
    database = database_url.rpartition("/")[2]
    run_sql(
        database_url,
        f"DO $$ BEGIN CREATE ROLE {ATTACKER}; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER ROLE {ATTACKER} LOGIN PASSWORD 'secret'",
        f"GRANT CREATE, USAGE ON SCHEMA public TO {ATTACKER}",
        *([f"GRANT CREATE ON DATABASE {database} TO {ATTACKER}"] if creates_schemas else []),
    )
    return server.url(database, user=ATTACKER, password="secret")


def plant(url: str) -> None:
    """Plants functions and operators with every name that Quire uses, for all argument types."""
    parts = {"types": _TYPES, "any_type": _ANY_TYPE, "two_types": _TWO_TYPES, "operators": list(_OPERATORS)}
    statement = SQL(_PLANT).format(
        attacker=Literal(ATTACKER),
        **{name: SQL("ARRAY[{}]::text[]").format(SQL(", ").join(map(Literal, words))) for name, words in parts.items()},
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("SET search_path = pg_catalog"))
        connection.execute(statement.as_string(connection).replace("%%", "%").encode())


def was_hijacked(url: str) -> bool:
    """Returns whether any planted function was executed with another role's privileges."""
    return ask(url, "SELECT is_called FROM public.runs") != [(False,)]
