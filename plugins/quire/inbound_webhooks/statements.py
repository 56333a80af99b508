"""Builds the SQL statements that write rows. PostgreSQL converts JSON to each column's type with ``jsonb_to_record``.

psycopg quotes values and names. The statements have no placeholders, because a name may contain ``%``. Every function,
operator and type is schema-qualified, because the statements run with the writer's search_path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from quire.inbound_webhooks.exact_json import write_json
from quire.inbound_webhooks.target import TargetColumn
from quire.inbound_webhooks.webhook_definition import WebhookDefinition

Columns = Mapping[str, TargetColumn]
Row = Mapping[str, object]


def canonical_key(definition: WebhookDefinition, columns: Columns, row: Row) -> Composed:
    """Returns a query that converts a key to strings, so that equal keys have equal strings.

    The query fails if a value does not fit its column's type.
    """
    texts = [_text(Identifier(name), is_numeric=columns[name].numeric) for name in definition.keys]
    return SQL("SELECT ARRAY[{texts}] FROM {record}").format(texts=_join(texts), record=_record(columns, row))


def upsert(definition: WebhookDefinition, columns: Columns, row: Row) -> Composed:
    """Returns a statement that inserts a row, or updates it if a row with the same key exists."""
    return SQL(
        "INSERT INTO {table} ({names}) SELECT {names} FROM {record} ON CONFLICT ({keys}) DO UPDATE SET {sets}"
    ).format(
        table=Identifier(*definition.table_parts),
        names=_join(map(Identifier, row)),
        record=_record(columns, row),
        keys=_join(map(Identifier, definition.keys)),
        sets=_sets(definition, row, "excluded"),
    )


def update(definition: WebhookDefinition, columns: Columns, row: Row) -> Composed:
    """Returns a statement that updates a row if it exists."""
    return SQL("UPDATE {table} AS target SET {sets} FROM {record} WHERE {same}").format(
        table=Identifier(*definition.table_parts),
        sets=_sets(definition, row, "record"),
        record=_record(columns, row),
        same=_same(definition),
    )


def delete(definition: WebhookDefinition, columns: Columns, keys: Row) -> Composed:
    """Returns a statement that deletes a row if it exists."""
    return SQL("DELETE FROM {table} AS target USING {record} WHERE {same}").format(
        table=Identifier(*definition.table_parts), record=_record(columns, keys), same=_same(definition)
    )


def _text(key: Identifier, *, is_numeric: bool) -> Composed:
    value = SQL("pg_catalog.trim_scale({})").format(key) if is_numeric else key
    return SQL("{}::pg_catalog.text").format(value)


def _record(columns: Columns, row: Row) -> Composed:
    kinds = [SQL("{} {}").format(Identifier(name), SQL(columns[name].type)) for name in row]
    return SQL("pg_catalog.jsonb_to_record({row}::pg_catalog.jsonb) AS record ({kinds})").format(
        row=Literal(write_json(row)), kinds=_join(kinds)
    )


def _sets(definition: WebhookDefinition, row: Row, origin: str) -> Composed:
    names = [name for name in row if name not in definition.keys] or list(definition.keys)
    return _join(SQL("{} = {}").format(Identifier(name), Identifier(origin, name)) for name in names)


def _same(definition: WebhookDefinition) -> Composed:
    pairs = [
        SQL("{} OPERATOR(pg_catalog.=) {}").format(Identifier("target", name), Identifier("record", name))
        for name in definition.keys
    ]
    return SQL(" AND ").join(pairs)


def _join(parts: Iterable[Composable]) -> Composed:
    return SQL(", ").join(parts)
