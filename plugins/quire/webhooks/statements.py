"""The SQL that writes rows. JSON becomes a column's type by PostgreSQL's own ``jsonb_to_record``.

Values and names are put in by psycopg's own quoting; the statements take no binds, since a name may have a ``%``.
They run under the writer's own search_path, so each function, operator and type of ours names its schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from quire.webhooks.definition import WebhookDefinition
from quire.webhooks.exact_json import write_json
from quire.webhooks.target import TargetColumn

Columns = Mapping[str, TargetColumn]
Row = Mapping[str, object]


def canonical_key(definition: WebhookDefinition, columns: Columns, row: Row) -> Composed:
    """Returns the query for a key's texts, the same for equal keys; it fails where a value is not of its type."""
    texts = [_text(Identifier(name), is_numeric=columns[name].numeric) for name in definition.keys]
    return SQL("SELECT ARRAY[{texts}] FROM {given}").format(texts=_listed(texts), given=_given(columns, row))


def upsert(definition: WebhookDefinition, columns: Columns, row: Row) -> Composed:
    """Returns the statement that inserts a row, or sets its columns where its key is there."""
    return SQL(
        "INSERT INTO {table} ({names}) SELECT {names} FROM {given} ON CONFLICT ({keys}) DO UPDATE SET {sets}"
    ).format(
        table=Identifier(*definition.table_parts),
        names=_listed(map(Identifier, row)),
        given=_given(columns, row),
        keys=_listed(map(Identifier, definition.keys)),
        sets=_sets(definition, row, "excluded"),
    )


def update(definition: WebhookDefinition, columns: Columns, row: Row) -> Composed:
    """Returns the statement that sets a row's columns, if it is there."""
    return SQL("UPDATE {table} AS kept SET {sets} FROM {given} WHERE {same}").format(
        table=Identifier(*definition.table_parts),
        sets=_sets(definition, row, "given"),
        given=_given(columns, row),
        same=_same(definition),
    )


def delete(definition: WebhookDefinition, columns: Columns, keys: Row) -> Composed:
    """Returns the statement that deletes a row, if it is there."""
    return SQL("DELETE FROM {table} AS kept USING {given} WHERE {same}").format(
        table=Identifier(*definition.table_parts), given=_given(columns, keys), same=_same(definition)
    )


def _text(key: Identifier, *, is_numeric: bool) -> Composed:
    value = SQL("pg_catalog.trim_scale({})").format(key) if is_numeric else key
    return SQL("{}::pg_catalog.text").format(value)


def _given(columns: Columns, row: Row) -> Composed:
    kinds = [SQL("{} {}").format(Identifier(name), SQL(columns[name].type)) for name in row]
    return SQL("pg_catalog.jsonb_to_record({row}::pg_catalog.jsonb) AS given ({kinds})").format(
        row=Literal(write_json(row)), kinds=_listed(kinds)
    )


def _sets(definition: WebhookDefinition, row: Row, whence: str) -> Composed:
    names = [name for name in row if name not in definition.keys] or list(definition.keys)
    return _listed(SQL("{} = {}").format(Identifier(name), Identifier(whence, name)) for name in names)


def _same(definition: WebhookDefinition) -> Composed:
    pairs = [
        SQL("{} OPERATOR(pg_catalog.=) {}").format(Identifier("kept", name), Identifier("given", name))
        for name in definition.keys
    ]
    return SQL(" AND ").join(pairs)


def _listed(parts: Iterable[Composable]) -> Composed:
    return SQL(", ").join(parts)
