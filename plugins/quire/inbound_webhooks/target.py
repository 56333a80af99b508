"""The table that a webhook writes to, as described by PostgreSQL's catalogs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

from quire.errors import DefinitionError, UntrustedSchemaError
from quire.inbound_webhooks.webhook_definition import WebhookDefinition
from quire.report.definition.name_checks import suggestion

Connection = psycopg.Connection[tuple[Any, ...]]

# For these types and for enums, equal values have equal text representations (numeric without trailing zeros).
KEY_TYPES = (
    "smallint", "integer", "bigint", "numeric", "text", "character varying", "character", "uuid", "boolean", "date",
    "timestamp without time zone", "timestamp with time zone",
)  # fmt: skip
_COLUMNS = """
SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type,
       attnotnull OR typnotnull AS not_null,
       attgenerated <> '' OR attidentity = 'a' AS computed,
       atthasdef OR attidentity <> '' OR typdefault IS NOT NULL AS has_default,
       (typtype = 'e' OR typnamespace = 'pg_catalog'::regnamespace AND format_type(atttypid, NULL) = ANY (%s::text[]))
           AND coalesce(collisdeterministic, true) AS fit_for_key,
       atttypid = 'numeric'::regtype AS numeric
  FROM pg_class
  JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
  JOIN pg_type ON pg_type.oid = atttypid
  LEFT JOIN pg_collation ON pg_collation.oid = attcollation
 WHERE relnamespace = to_regnamespace(quote_ident(%s::text)) AND relname = %s::name AND relkind IN ('r', 'p')
"""
_UNIQUE = """
SELECT EXISTS (
    SELECT FROM pg_index
     WHERE indrelid = format('%%I.%%I', %s::text, %s::text)::regclass
       AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL AND indexprs IS NULL
       AND (SELECT array_agg(attname::text ORDER BY attname::text COLLATE "C")
              FROM unnest(indkey::smallint[]) WITH ORDINALITY AS part (number, place)
              JOIN pg_attribute ON attrelid = indrelid AND attnum = part.number
             WHERE place <= indnkeyatts) = %s::text[])
"""
_MISSING_PRIVILEGES = """
SELECT array_agg(word) FROM unnest(%s::text[]) AS word
 WHERE NOT has_table_privilege(format('%%I.%%I', %s::text, %s::text)::regclass, word)
"""
# The owner of the tables that record deliveries can add triggers to them, which then run with the writer's privileges.
_UNTRUSTED_OWNERS = """
SELECT pg_get_userbyid(holder.owner)::text
  FROM (SELECT nspowner FROM pg_namespace WHERE nspname = 'quire' UNION
        SELECT relowner FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = 'quire' AND relname IN ('webhook_event', 'webhook_record')) AS holder (owner)
 WHERE pg_get_userbyid(holder.owner) <> current_user
   AND NOT EXISTS (
       SELECT FROM pg_database WHERE datname = current_database() AND pg_has_role(holder.owner, datdba, 'MEMBER'))
   AND NOT EXISTS (
       SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = %s::name AND relname = %s::name AND pg_has_role(holder.owner, relowner, 'MEMBER'))
 ORDER BY 1 LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column.

    ``computed``: only PostgreSQL can set the column. ``fit_for_key``: equal values have equal text representations.
    """

    name: str
    type: str
    not_null: bool
    computed: bool
    has_default: bool
    fit_for_key: bool
    numeric: bool


def read_target(definition: WebhookDefinition, connection: Connection) -> Mapping[str, TargetColumn]:
    """Returns the table's columns by name.

    Raises:
        DefinitionError: the table does not exist, or the webhook cannot write a column.
    """
    with connection.cursor(row_factory=class_row(TargetColumn)) as cursor:
        rows = cursor.execute(_COLUMNS, [list(KEY_TYPES), *definition.table_parts]).fetchall()
    columns = {column.name: column for column in rows}
    ensure_no_problems(definition, _column_problems(definition, columns))
    return columns


def validate_target(definition: WebhookDefinition, connection: Connection) -> tuple[str, ...]:
    """Checks the table's columns, unique constraint and privileges.

    Returns:
        The required columns that the webhook does not write.

    Raises:
        DefinitionError: rows cannot be written to the table.
    """
    columns = read_target(definition, connection)
    ensure_no_problems(definition, _table_problems(definition, connection))
    return tuple(
        column.name
        for column in columns.values()
        if column.not_null and not column.has_default and column.name not in definition.written
    )


def ensure_trusted_schema(definition: WebhookDefinition, connection: Connection) -> None:
    """Checks that the owner of the ``quire`` schema is the current user, or also owns the table or the database.

    Raises:
        UntrustedSchemaError: another role owns the schema, but owns neither the table nor the database.
    """
    if row := connection.execute(_UNTRUSTED_OWNERS, definition.table_parts).fetchone():
        raise UntrustedSchemaError(
            f"schema quire belongs to {row[0]}, which owns neither {definition.table} nor the database. Ask an "
            "administrator to drop it or change its owner"
        )


def ensure_no_problems(definition: WebhookDefinition, problems: Iterator[str]) -> None:
    """Raises an error if there are any problems.

    Raises:
        DefinitionError: there is at least one problem. The message lists all problems on one line.
    """
    if message := "; ".join(problems):
        raise DefinitionError(message, report=definition.name)


def _column_problems(definition: WebhookDefinition, columns: Mapping[str, TargetColumn]) -> Iterator[str]:
    if not columns:
        yield f"table {definition.table} does not exist, or its schema is not accessible"
        return
    for name in definition.written:
        column = columns.get(name)
        if column is None:
            yield f"{definition.table} has no column {name}{suggestion(name, columns)}"
        elif column.computed:
            yield f"PostgreSQL generates {definition.table}.{name}: leave it out"
        elif name in definition.keys and not column.fit_for_key:
            yield f"the key {name} has type {column.type}, whose equal values can have different text representations"


def _table_problems(definition: WebhookDefinition, connection: Connection) -> Iterator[str]:
    schema, table = definition.table_parts
    if connection.execute(_UNIQUE, [schema, table, sorted(definition.keys)]).fetchone() != (True,):
        yield f"{definition.table} has no unique constraint on {', '.join(definition.keys)}"
    privileges = ["SELECT", "INSERT", "UPDATE", *(["DELETE"] if definition.delete_when else [])]
    (missing,) = connection.execute(_MISSING_PRIVILEGES, [privileges, schema, table]).fetchone() or (None,)
    if missing:
        yield f"the {definition.connection} connection lacks {', '.join(missing)} on {definition.table}"
