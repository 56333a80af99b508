"""Computes freshness tokens from row versions, without triggers and with no privilege other than SELECT.

PostgreSQL stores the ID of the transaction that wrote a row in the row's system column ``xmin``. INSERT and UPDATE
write rows with the current transaction's ID, and DELETE removes rows. Because no later transaction has the same ID,
every change also changes the multiset of IDs in a partition. VACUUM and VACUUM FULL keep the IDs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from quire.date_range import DatePartition
from quire.errors import DefinitionError, SourceUnavailableError
from quire.postgres import SourceTransaction
from quire.postgres.arrow_types import quote_identifier
from quire.postgres.source_tables import (
    COLUMN_TYPE,
    LOCAL,
    TABLE_TREE,
    ZONED,
    kind_description,
    resolution_query,
    resolved_tables,
    time_column_problem,
)
from quire.postgres.time_segments import ALL_PARTITIONS, TimeSegments
from quire.record_types.serialization import digest
from quire.report.definition import ReportDefinition, SourceTable
from quire.report.sql_literal import literal

TABLE_KINDS = ("r", "p", "m")
XID_HASH = "hashxidextended(xmin, tableoid::bigint)"  # half as expensive, but only in PostgreSQL 18 and newer
RECORD_HASH = "hash_record_extended(ROW(xmin, tableoid), 0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedTable:
    """A table whose rows have versions.

    Args:
        table: the table's entry in the definition.
        name: the table's qualified and quoted name.
        column_type: the time column's type, or None if the table has no time column.
        generated: a digest of the virtual columns' expressions, or None if there are none. ALTER TABLE can change an
            expression without writing any row.
        row_hash: the SQL expression that hashes a row's transaction ID and table.
    """

    table: SourceTable
    name: str
    column_type: str | None
    generated: str | None
    row_hash: str


def version_tokens(
    definition: ReportDefinition, partitions: Sequence[DatePartition], *, transaction: SourceTransaction
) -> dict[str, str]:
    """Returns each partition's freshness token, by partition key. Executes two queries, and one more for each table.

    A token is a digest of two numbers for each table: the number of rows, and the sum of a 64-bit hash of each row's
    transaction ID and table. Rows whose time is NULL or infinite, and all rows of tables without a time column,
    count in every partition.

    Args:
        definition: the report, whose ``freshness`` must be ``versions``.
        partitions: the partitions, in order; gaps are allowed.
        transaction: the transaction whose snapshot determines the tokens.

    Raises:
        DefinitionError: a relation is not a table, its rows have no versions, this role cannot read all of it, or its
            time column does not exist.
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: PostgreSQL cannot be reached.
    """
    tables = versioned_tables(definition, transaction=transaction)
    states = [list(_segments(table, partitions, transaction=transaction)) for table in tables]
    return {
        partition.key: digest(
            "versions",
            [
                [table.table.name, table.table.time_column, table.generated, *table_states[number]]
                for table, table_states in zip(tables, states, strict=True)
            ],
        )
        for number, partition in enumerate(partitions)
    }


def versioned_tables(definition: ReportDefinition, *, transaction: SourceTransaction) -> tuple[VersionedTable, ...]:
    """Checks that the rows of each of the report's tables have versions, and returns the tables.

    Raises:
        DefinitionError: see ``version_tokens``.
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: PostgreSQL cannot be reached.
    """
    tables = definition.source.tables
    relations = resolved_tables(transaction.fetch(resolution_query(tables)))
    rows = transaction.fetch_own(_inspection_query(tables, relations))
    for table, relation, row in zip(tables, relations, rows, strict=True):
        if relation is not None and row["name"] is None:  # the name resolves in the current catalog, not the snapshot
            raise SourceUnavailableError(f"{table.name} was replaced while it was read")
    return tuple(_versioned_table(table, row) for table, row in zip(tables, rows, strict=True))


def _versioned_table(table: SourceTable, row: Mapping[str, Any]) -> VersionedTable:
    name = table.name
    if row["name"] is None:
        raise DefinitionError(f"source.tables: table {name} does not exist")
    if row["kind"] not in TABLE_KINDS:
        kind = kind_description(row["kind"])
        raise DefinitionError(
            f"source.tables: {name} is {kind}, whose rows have no versions. List the underlying tables, or use another "
            "source.freshness"
        )
    if row["foreign_node"]:
        node = row["foreign_node"]
        place = f"partition {node} is" if node != row["name"] else "rows are"
        raise DefinitionError(
            f"source.tables: {name}: its {place} not stored in PostgreSQL's own format, which contains row versions. "
            "Use another source.freshness"
        )
    if not row["readable"]:
        raise DefinitionError(
            f"source.tables: freshness: versions requires SELECT on all columns of {name}. "
            f"Run GRANT SELECT ON {row['name']} TO {row['role']}"
        )
    if problem := time_column_problem(table, row["column_type"]):
        raise DefinitionError(problem)
    return VersionedTable(
        table=table,
        name=row["name"],
        column_type=row["column_type"],
        generated=row["generated"],
        row_hash=XID_HASH if row["hashes_xids"] else RECORD_HASH,
    )


def _inspection_query(tables: Sequence[SourceTable], relations: Sequence[int | None]) -> str:
    """Returns a query that yields each table's properties, one row per table, in the same order."""
    wanted = ", ".join(
        f"({position}, {'NULL' if relation is None else relation}::oid, {literal(table.time_column)}::name)"
        for position, (table, relation) in enumerate(zip(tables, relations, strict=True))
    )
    return f"""
WITH RECURSIVE wanted (position, relation, time_column) AS (VALUES {wanted}),
{TABLE_TREE}
SELECT wanted.position,
       class.oid::regclass::text AS name,
       class.relkind::text AS kind,
       has_table_privilege(class.oid, 'SELECT') AS readable,
       quote_ident(current_user) AS role,
       {COLUMN_TYPE} AS column_type,
       to_regprocedure('hashxidextended(xid, bigint)') IS NOT NULL AS hashes_xids,
       (SELECT min(node::regclass::text) FROM tree JOIN pg_class AS part ON part.oid = tree.node
         WHERE tree.position = wanted.position
           AND (part.relkind NOT IN ('r', 'p', 'm') OR part.relkind <> 'p' AND part.relam <> heap.oid)) AS foreign_node,
       (SELECT encode(sha256(convert_to(string_agg(
                   format('%s %s %s', node, attname, pg_get_expr(adbin, adrelid)), ', ' ORDER BY node, attname
               ), 'UTF8')), 'hex')
          FROM tree JOIN pg_attribute ON attrelid = tree.node JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE tree.position = wanted.position AND attgenerated = 'v') AS generated
  FROM wanted CROSS JOIN (SELECT oid FROM pg_am WHERE amname = 'heap') AS heap
  LEFT JOIN pg_class AS class ON class.oid = wanted.relation
 ORDER BY wanted.position
"""  # noqa: S608 - names are quoted literals


def _segments(
    table: VersionedTable, partitions: Sequence[DatePartition], *, transaction: SourceTransaction
) -> Iterator[tuple[int, int]]:
    """Yields, for each partition, the number of rows that can affect it, and the sum of their hashes."""
    bounds = [_bounds(partition, table.column_type) for partition in partitions]
    segments = TimeSegments(bounds)
    rows = transaction.fetch_own(_versions_query(table, segments.edges, _merged_ranges(bounds)))
    states = {row["segment"]: (int(row["rows"]), int(row["total"])) for row in rows}
    unbounded = (None, 0, len(segments.edges))  # a NULL time, and times before the first and after the last edge
    for number in range(len(partitions)):
        counts = [states.get(segment, (0, 0)) for segment in (*unbounded, *segments.of(number))]
        yield sum(count for count, _ in counts), sum(total for _, total in counts)


def _versions_query(table: VersionedTable, edges: Sequence[date], ranges: Sequence[tuple[date, date]]) -> str:
    """Returns a query that yields the number of rows and the sum of their hashes for each segment."""
    totals = f"count(*)::text AS rows, coalesce(sum({table.row_hash}), 0)::text AS total"
    if table.table.time_column is None:
        return f"SELECT {ALL_PARTITIONS} AS segment, {totals} FROM {table.name}"  # noqa: S608 - a quoted name
    column = quote_identifier(table.table.time_column)
    bounds = ", ".join(literal(edge) for edge in edges)
    inside = " OR ".join(f"{column} >= {literal(start)} AND {column} < {literal(stop)}" for start, stop in ranges)
    return f"""
SELECT width_bucket({column}::{table.column_type}, ARRAY[{bounds}]::{table.column_type}[]) AS segment, {totals}
  FROM {table.name}
 WHERE {inside} OR {column} IS NULL OR {column} = '-infinity' OR {column} = 'infinity'
 GROUP BY segment
"""  # noqa: S608 - names are quoted, and bounds are literals


def _bounds(partition: DatePartition, column_type: str | None) -> tuple[date, date]:
    """Returns a partition's half-open range as values of a time column; local times are in the report's time zone."""
    if column_type == ZONED:
        return partition.starts_at, partition.stops_at
    if column_type == LOCAL:
        return datetime.combine(partition.start, time()), datetime.combine(partition.stop, time())
    return partition.start, partition.stop


def _merged_ranges(bounds: Sequence[tuple[date, date]]) -> list[tuple[date, date]]:
    """Merges adjacent ranges, so that the query does not read the rows in gaps between partitions."""
    merged = list[tuple[date, date]]()
    for start, stop in bounds:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged
