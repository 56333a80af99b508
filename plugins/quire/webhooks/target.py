"""The table that a source writes to, as PostgreSQL's catalogs have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

from quire.errors import DefinitionError, UntrustedSchemaError
from quire.report.definition.name_checks import suggestion
from quire.webhooks.definition import WebhookDefinition

Connection = psycopg.Connection[tuple[Any, ...]]

# Of these types, and of enums, two values are equal where their texts are (numeric without its trailing zeros).
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
_RIGHTS = """
SELECT array_agg(word) FROM unnest(%s::text[]) AS word
 WHERE NOT has_table_privilege(format('%%I.%%I', %s::text, %s::text)::regclass, word)
"""
# Whose tables take the deliveries: their owner can have code of its own run by the writer.
_STRANGERS = """
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
    """A column. ``computed``: PostgreSQL alone sets it. ``fit_for_key``: equal values have one text."""

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
        DefinitionError: there is no such table, or a column that the source cannot write.
    """
    with connection.cursor(row_factory=class_row(TargetColumn)) as cursor:
        found = cursor.execute(_COLUMNS, [list(KEY_TYPES), *definition.table_parts]).fetchall()
    columns = {column.name: column for column in found}
    ensure_no_faults(definition, _column_faults(definition, columns))
    return columns


def check_target(definition: WebhookDefinition, connection: Connection) -> tuple[str, ...]:
    """Looks also at what a delivery leaves to PostgreSQL: the unique constraint, and the rights.

    Returns:
        The columns without which the table takes no new row, and that the source never writes.

    Raises:
        DefinitionError: rows cannot be written to the table.
    """
    columns = read_target(definition, connection)
    ensure_no_faults(definition, _table_faults(definition, connection))
    return tuple(
        column.name
        for column in columns.values()
        if column.not_null and not column.has_default and column.name not in definition.written
    )


def ensure_trusted_schema(definition: WebhookDefinition, connection: Connection) -> None:
    """Refuses a schema ``quire`` that a role made which owns neither the table nor the database.

    Raises:
        UntrustedSchemaError: it did.
    """
    if row := connection.execute(_STRANGERS, definition.table_parts).fetchone():
        raise UntrustedSchemaError(
            f"schema quire belongs to {row[0]}, which owns neither {definition.table} nor the database: have an "
            "administrator drop it or change its owner"
        )


def ensure_no_faults(definition: WebhookDefinition, faults: Iterator[str]) -> None:
    """Raises one error, of one line, for all that is wrong, if anything is.

    Raises:
        DefinitionError: something is.
    """
    if told := "; ".join(faults):
        raise DefinitionError(told, report=definition.name)


def _column_faults(definition: WebhookDefinition, columns: Mapping[str, TargetColumn]) -> Iterator[str]:
    if not columns:
        yield f"there is no table {definition.table}, or no right to use its schema"
        return
    for name in definition.written:
        column = columns.get(name)
        if column is None:
            yield f"{definition.table} has no column {name}{suggestion(name, columns)}"
        elif column.computed:
            yield f"PostgreSQL itself sets {definition.table}'s column {name}: leave it out"
        elif name in definition.keys and not column.fit_for_key:
            yield f"the key {name} is {column.type}: equal values may be written in two ways"


def _table_faults(definition: WebhookDefinition, connection: Connection) -> Iterator[str]:
    schema, table = definition.table_parts
    if connection.execute(_UNIQUE, [schema, table, sorted(definition.keys)]).fetchone() != (True,):
        yield f"{definition.table} has no unique constraint on {', '.join(definition.keys)}"
    rights = ["SELECT", "INSERT", "UPDATE", *(["DELETE"] if definition.delete_when else [])]
    (missing,) = connection.execute(_RIGHTS, [rights, schema, table]).fetchone() or (None,)
    if missing:
        yield f"the connection {definition.connection} may not {', '.join(missing)} on {definition.table}"
