"""Opens transactions that other roles cannot hijack, and protects the ``quire`` schema.

If a role is allowed to create functions in a schema on the search_path, it can plant a function that matches a call
better than PostgreSQL's own function, such as ``public.pg_advisory_xact_lock(integer)``. The planted function then runs
with the caller's privileges. Under ``SAFE_SEARCH_PATH``, unqualified names refer to PostgreSQL's own objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composable, Identifier

from quire.errors import SourceUnavailableError, UntrustedSchemaError
from quire.postgres.error_translation import translate_driver_errors
from quire.postgres.session_settings import SAFE_SEARCH_PATH
from quire.report.sql_literal import CLIENT_ENCODING

INSTALLATION_LOCK = 0x7175_6972  # "quir"; the advisory lock for installing and removing tracking
LOCK_SECONDS = 10  # not longer, because writers must wait behind a transaction that waits for a lock

OwnerConnection = psycopg.Connection[dict[str, Any]]

_FOREIGN_OBJECTS = """
WITH own (schema) AS (SELECT oid FROM pg_namespace WHERE nspname = 'quire'),
object (class, id, owner) AS (
    SELECT 'pg_namespace'::regclass, oid, nspowner FROM pg_namespace JOIN own ON oid = schema
    UNION ALL SELECT 'pg_class'::regclass, oid, relowner FROM pg_class JOIN own ON relnamespace = schema
    UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc JOIN own ON pronamespace = schema
    UNION ALL SELECT 'pg_type'::regclass, oid, typowner FROM pg_type JOIN own ON typnamespace = schema
     WHERE typrelid = 0 AND typelem = 0  -- others come with a table or another type
    UNION ALL SELECT 'pg_operator'::regclass, oid, oprowner FROM pg_operator JOIN own ON oprnamespace = schema
    UNION ALL SELECT 'pg_opclass'::regclass, oid, opcowner FROM pg_opclass JOIN own ON opcnamespace = schema
    UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfowner FROM pg_opfamily JOIN own ON opfnamespace = schema
    UNION ALL SELECT 'pg_collation'::regclass, oid, collowner FROM pg_collation JOIN own ON collnamespace = schema
    UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner FROM pg_conversion JOIN own ON connamespace = schema
)
SELECT pg_describe_object(class, id, 0) AS object, pg_get_userbyid(owner)::text AS owner, current_user::text AS role
  FROM object WHERE pg_get_userbyid(owner) <> current_user
 ORDER BY class <> 'pg_namespace'::regclass, 1 LIMIT 1
"""
# Finds privileges that would let another role execute its own code as the owner, or modify the records.
_FOREIGN_GRANTS = """
WITH own (schema) AS (SELECT oid FROM pg_namespace WHERE nspname = 'quire'),
granted (object, name, owner, acl) AS (
    SELECT 'SCHEMA', 'quire', nspowner, nspacl FROM pg_namespace JOIN own ON oid = schema
    UNION ALL SELECT 'TABLE', relname, relowner, relacl FROM pg_class JOIN own ON relnamespace = schema
    UNION ALL SELECT 'TABLE', relname, relowner, attacl  -- of a column; revoking on the table revokes these too
      FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN own ON relnamespace = schema
)
SELECT object, name::text AS name, grantee, coalesce(rolname::text, 'PUBLIC') AS role,
       string_agg(DISTINCT privilege_type, ', ' ORDER BY privilege_type) AS privileges
  FROM granted CROSS JOIN LATERAL aclexplode(acl) LEFT JOIN pg_roles ON pg_roles.oid = grantee
 WHERE grantee <> owner
   AND privilege_type <> ALL (CASE WHEN object = 'SCHEMA' THEN ARRAY['USAGE']
                                   WHEN name LIKE 'webhook%' THEN ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']
                                   ELSE ARRAY['SELECT', 'USAGE'] END)
 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4
"""
_TRIGGERS = """
SELECT tgname::text AS name, tgrelid::regclass::text AS relation FROM pg_trigger
 WHERE NOT tgisinternal AND tgrelid IN (
     SELECT pg_class.oid FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = 'quire')
 ORDER BY 2, 1 LIMIT 1
"""


@contextmanager
def owner_transaction(url: str, *, lock_seconds: int = LOCK_SECONDS) -> Iterator[OwnerConnection]:
    """Opens a transaction in which unqualified names refer to PostgreSQL's own objects.

    Args:
        url: the owner's connection URL.
        lock_seconds: the maximum wait for a lock.

    Raises:
        QueryError: PostgreSQL rejected a statement.
        SettingsError: libpq cannot parse the URL, or PostgreSQL rejected the connection.
        SourceUnavailableError: PostgreSQL cannot be reached, or a lock was not released in time.
    """
    with (
        translate_driver_errors(url, driver=psycopg),
        psycopg.connect(url, client_encoding=CLIENT_ENCODING, row_factory=dict_row) as connection,
    ):
        connection.execute(  # these settings must come first; SET itself is safe because it calls no functions
            f"SET LOCAL search_path TO {SAFE_SEARCH_PATH}; SET LOCAL lock_timeout = '{lock_seconds}s'; "
            "SET LOCAL client_min_messages = warning; SET LOCAL row_security = off"  # raises an error if policies apply
        )
        yield connection


def lock_tables(
    owner: OwnerConnection, tables: Sequence[Composable], mode: LiteralString, *, lock_seconds: int = LOCK_SECONDS
) -> None:
    """Locks several tables within a total of ``lock_seconds``; lock_timeout alone limits each lock separately.

    Writers that need these tables are therefore blocked for at most ``lock_seconds``. Do not pass views, because
    PostgreSQL would first lock their underlying tables, which can cause a deadlock with writers to the other tables.

    Args:
        owner: the transaction that holds the locks.
        tables: SQL identifiers, in locking order.
        mode: a lock mode, such as ``ACCESS EXCLUSIVE``.
        lock_seconds: the maximum wait for all locks together.

    Raises:
        SourceUnavailableError: not all locks were available in time.
    """
    if not tables:
        return
    owner.execute(f"SET LOCAL statement_timeout = '{lock_seconds}s'")
    try:
        owner.execute(SQL("LOCK TABLE {} IN {} MODE").format(SQL(", ").join(tables), SQL(mode)))
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
        raise SourceUnavailableError(
            f"the tables were in use for {lock_seconds} s, so nothing was changed: try again when fewer "
            "transactions use them"
        ) from error
    owner.execute("SET LOCAL statement_timeout TO DEFAULT")


@contextmanager
def installation_transaction(url: str, *, lock_seconds: int = LOCK_SECONDS) -> Iterator[OwnerConnection]:
    """Opens an ``owner_transaction``, acquires the installation lock, and checks who controls the ``quire`` schema.

    Raises:
        UntrustedSchemaError: another role owns the ``quire`` schema or an object in it.
    """
    with owner_transaction(url, lock_seconds=lock_seconds) as owner:
        owner.execute("SELECT pg_advisory_xact_lock(%s::bigint)", [INSTALLATION_LOCK])
        ensure_own_schema(owner)
        yield owner


def ensure_own_schema(owner: OwnerConnection) -> None:
    """Checks that no other role can execute code with this role's privileges through the ``quire`` schema.

    Raises:
        UntrustedSchemaError: another role owns the schema or an object in it, another role has privileges to create
            objects or triggers or to modify records, or a table in the schema has a trigger.
    """
    if foreign := owner.execute(_FOREIGN_OBJECTS).fetchone():
        raise UntrustedSchemaError(
            f"{foreign['object']} belongs to {foreign['owner']}, not to {foreign['role']}: connect as its owner, or "
            "have an administrator drop it or change its owner"
        )
    for grant in owner.execute(_FOREIGN_GRANTS).fetchall():
        name = "quire" if grant["object"] == "SCHEMA" else f"quire.{grant['name']}"
        raise UntrustedSchemaError(
            f"{grant['role']} has {grant['privileges']} on {name}: REVOKE ALL ON {grant['object']} {name} "
            f"FROM {grant['role']}"
        )
    if trigger := owner.execute(_TRIGGERS).fetchone():
        raise UntrustedSchemaError(
            f"{trigger['relation']} has a trigger that is not Quire's: DROP TRIGGER {trigger['name']} "
            f"ON {trigger['relation']}"
        )


def create_schema(owner: OwnerConnection) -> None:
    """Creates the ``quire`` schema if it does not exist; only its owner can access the new schema."""
    if owner.execute("SELECT FROM pg_namespace WHERE nspname = 'quire'").fetchone() is None:
        owner.execute("CREATE SCHEMA quire")  # IF NOT EXISTS would accept a schema that another role has just created
        withdraw_default_grants(owner)


def withdraw_default_grants(owner: OwnerConnection) -> None:
    """Revokes the privileges that ALTER DEFAULT PRIVILEGES granted to other roles on new objects."""
    for grant in owner.execute(_FOREIGN_GRANTS).fetchall():
        name = Identifier("quire") if grant["object"] == "SCHEMA" else Identifier("quire", grant["name"])
        role = Identifier(grant["role"]) if grant["grantee"] else SQL("PUBLIC")
        owner.execute(SQL("REVOKE ALL ON {} {} FROM {}").format(SQL(grant["object"]), name, role))
