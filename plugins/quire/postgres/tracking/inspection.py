"""Inspects a report's tables, their partitions and their triggers in PostgreSQL's catalogs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quire.errors import NotTrackedError
from quire.postgres import SourceTransaction
from quire.postgres.source_tables import (
    COLUMN_TYPE,
    TABLE_TREE,
    kind_description,
    resolution_query,
    resolved_tables,
    time_column_problem,
)
from quire.report.definition import SourceTable
from quire.report.sql_literal import literal

STATEMENTS = ("insert", "update", "delete", "truncate")
REPLICA = "replica"  # the trigger that logs rows from a logical replication subscription
ORDINARY, PARTITIONED = "r", "p"
_SUFFIX_LENGTH = 8
# The common table expressions of inspection_query: who owns the quire schema, the nodes of each wanted table, their
# generated columns, and the nodes that lack a trigger.
_TABLE_TREES = f"""
own (schema, owner) AS (SELECT oid, nspowner FROM pg_namespace WHERE nspname = 'quire'),
holder (owner) AS (
    SELECT owner FROM own UNION
    SELECT relowner FROM pg_class JOIN own ON relnamespace = schema
     WHERE relname IN ('readable_tables', 'readable_changes')
),
{TABLE_TREE},
generated AS (
    SELECT tree.position, tree.node, attname::text AS attname, pg_get_expr(adbin, adrelid) AS expression
      FROM tree JOIN pg_attribute ON attrelid = tree.node JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attgenerated <> ''
),
incomplete AS (
    SELECT tree.position, tree.node
      FROM tree JOIN wanted USING (position) JOIN pg_class AS class ON class.oid = tree.node
     WHERE (SELECT count(*) FROM pg_trigger
              JOIN pg_proc ON pg_proc.oid = tgfoid JOIN own ON pronamespace = own.schema
             WHERE tgrelid = tree.node
               AND (tgname = ANY (wanted.statements) AND tgenabled = 'A'
                    OR tgname = wanted.replica AND tgenabled = 'R'))
           < cardinality(wanted.statements) + (class.relkind = '{ORDINARY}')::integer
)
"""  # noqa: S608 - inserts only constants
_TABLE_STATES = f"""
SELECT wanted.position,
       class.oid::bigint AS relation,
       class.relkind::text AS kind,
       {COLUMN_TYPE} AS column_type,
       (SELECT string_agg(node::text, ' ' ORDER BY node) FROM tree WHERE tree.position = wanted.position) AS nodes,
       (SELECT jsonb_object_agg(node::text, node::regclass::text)::text FROM incomplete
         WHERE incomplete.position = wanted.position) AS incomplete,
       (SELECT min(node::regclass::text) FROM tree JOIN pg_class AS part ON part.oid = tree.node
         WHERE tree.position = wanted.position AND part.relkind NOT IN ('{ORDINARY}', '{PARTITIONED}')) AS foreign_node,
       (SELECT min(inhparent::regclass::text) FROM pg_inherits
         WHERE inhrelid = class.oid AND inhparent NOT IN (SELECT node FROM tree)) AS parent,
       (SELECT encode(sha256(convert_to(string_agg(DISTINCT description, ', '), 'UTF8')), 'hex') FROM (
           SELECT CASE WHEN expression <> first_value(expression) OVER columns THEN node::text || ' ' ELSE '' END
                  || attname || ' ' || expression AS description
             FROM generated WHERE generated.position = wanted.position
           WINDOW columns AS (PARTITION BY attname ORDER BY node <> class.oid, node)) AS described) AS generated,
       (SELECT min(pg_get_userbyid(holder.owner)::text) FROM holder
         WHERE pg_get_userbyid(holder.owner) <> current_user
           AND NOT pg_has_role(holder.owner, class.relowner, 'MEMBER')) AS stranger
  FROM wanted LEFT JOIN pg_class AS class ON class.oid = wanted.relation
 ORDER BY wanted.position
"""  # noqa: S608 - inserts only constants


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """A table's current state.

    Args:
        table: the table's entry in the definition.
        relation: the table's OID.
        column_type: the time column's type, or None if the table has no time column.
        nodes: the OIDs of the table and all its partitions, sorted.
        incomplete: the names of the nodes that lack a trigger, by OID.
        generated: a digest of all generated columns' expressions, or None if there are none. ALTER TABLE can change an
            expression, and thus the values in all rows, without firing a trigger.
        untrusted_owner: the owner of the ``quire`` schema or its views if that owner is not a member of the role that
            owns the table; otherwise None.
    """

    table: SourceTable
    relation: int
    column_type: str | None
    nodes: tuple[int, ...]
    incomplete: Mapping[int, str]
    generated: str | None = None
    untrusted_owner: str | None = None


def trigger_name(event: str, time_column: str | None) -> str:
    """Returns a trigger's name, which fits within PostgreSQL's limit even if the column has a long name."""
    suffix = hashlib.sha256(time_column.encode()).hexdigest()[:_SUFFIX_LENGTH] if time_column else "all"
    return f"quire_{event}_{suffix}"


def _wanted_rows(tables: Sequence[SourceTable], relations: Sequence[int | None]) -> str:
    """Returns the tables as SQL rows with the position (from 0), the OID, the time column and the trigger names."""
    return ", ".join(
        f"({position}, {'NULL' if relation is None else relation}::oid, {literal(table.time_column)}::name, "
        f"ARRAY[{', '.join(literal(trigger_name(event, table.time_column)) for event in STATEMENTS)}]::name[], "
        f"{literal(trigger_name(REPLICA, table.time_column))}::name)"
        for position, (table, relation) in enumerate(zip(tables, relations, strict=True))
    )


def inspection_query(tables: Sequence[SourceTable], relations: Sequence[int | None]) -> str:
    """Returns a query that yields each table's state, one row per table, in the same order.

    The query must run under ``SAFE_SEARCH_PATH``. It ignores triggers that execute functions outside the ``quire``
    schema. The schema and its views are trusted if their owner is a member of the role that owns the table, because
    readers may already execute that role's code.
    """
    wanted = "wanted (position, relation, time_column, statements, replica)"
    return f"WITH RECURSIVE {wanted} AS (VALUES {_wanted_rows(tables, relations)}), {_TABLE_TREES} {_TABLE_STATES}"


def inspect_tables(tables: Sequence[SourceTable], *, transaction: SourceTransaction) -> tuple[TableState, ...]:
    """Returns each table's state in a transaction's snapshot.

    Raises:
        NotTrackedError: a table cannot be tracked, or its time column does not exist.
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: PostgreSQL cannot be reached.
    """
    relations = resolved_tables(transaction.fetch(resolution_query(tables)))
    return table_states(tables, transaction.fetch_own(inspection_query(tables, relations)))


def table_states(tables: Sequence[SourceTable], rows: Sequence[Mapping[str, Any]]) -> tuple[TableState, ...]:
    """Converts each row of ``inspection_query`` to a table state.

    Raises:
        NotTrackedError: a table cannot be tracked, or its time column does not exist.
    """
    return tuple(_state(table, row) for table, row in zip(tables, rows, strict=True))


def _state(table: SourceTable, row: Mapping[str, Any]) -> TableState:
    if row["relation"] is None:
        raise NotTrackedError(f"source.tables: table {table.name} does not exist")
    if row["kind"] not in (ORDINARY, PARTITIONED):
        kind = kind_description(row["kind"])
        raise NotTrackedError(
            f"source.tables: {table.name} is {kind}, which cannot be tracked. List the underlying tables"
        )
    if row["foreign_node"]:
        raise NotTrackedError(
            f"source.tables: {table.name} cannot be tracked, because its partition {row['foreign_node']} is on another "
            "server"
        )
    if row["parent"]:
        raise NotTrackedError(
            f"source.tables: {table.name} is a child of {row['parent']}, and writes to {row['parent']} do not fire "
            f"the child's triggers. List {row['parent']} instead"
        )
    if problem := time_column_problem(table, row["column_type"]):
        raise NotTrackedError(problem)
    incomplete: dict[str, str] = json.loads(row["incomplete"] or "{}")
    return TableState(
        table=table,
        relation=row["relation"],
        column_type=row["column_type"],
        nodes=tuple(map(int, row["nodes"].split())),
        incomplete={int(node): name for node, name in incomplete.items()},
        generated=row["generated"],
        untrusted_owner=row["stranger"],
    )
