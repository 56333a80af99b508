"""Looks up the tables in ``source.tables`` and their time columns in PostgreSQL's catalogs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quire.report.definition import SourceTable
from quire.report.sql_literal import literal

ZONED, LOCAL, DATE = "timestamp with time zone", "timestamp without time zone", "date"
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "i": "an index"}
# A scalar subquery in a query over ``class`` (pg_class) and ``wanted.time_column``.
COLUMN_TYPE = """(SELECT format_type(coalesce(nullif(type.typbasetype, 0), type.oid), NULL)
          FROM pg_attribute AS attribute JOIN pg_type AS type ON type.oid = attribute.atttypid
         WHERE attrelid = class.oid AND attname = wanted.time_column AND attnum > 0 AND NOT attisdropped
       )"""
# A recursive common table expression with the nodes (the table and all its partitions) of each ``wanted`` table.
TABLE_TREE = """tree (position, node) AS (
    SELECT position, relation FROM wanted WHERE relation IS NOT NULL
    UNION
    SELECT tree.position, link.inhrelid
      FROM tree JOIN pg_inherits AS link ON link.inhparent = tree.node AND NOT link.inhdetachpending
)"""


def resolution_query(tables: Sequence[SourceTable]) -> str:
    """Returns a query that yields each table's OID, one row per table.

    The query runs under the connection's own search_path. Under any search_path, it calls only PostgreSQL's own
    functions, because it qualifies all names and uses no operators.
    """
    rows = ", ".join(
        f"({position}, pg_catalog.to_regclass({literal(table.name)}::pg_catalog.text)::pg_catalog.oid::pg_catalog.int8)"
        for position, table in enumerate(tables)
    )
    return f"SELECT position, relation FROM (VALUES {rows}) AS resolved (position, relation)"  # noqa: S608 - quoted literals


def resolved_tables(rows: Sequence[Mapping[str, Any]]) -> tuple[int | None, ...]:
    """Returns the OIDs from the rows of ``resolution_query``, in the tables' order; None stands for a missing table."""
    return tuple(row["relation"] for row in sorted(rows, key=lambda row: int(row["position"])))


def kind_description(kind: str) -> str:
    """Returns what a relation that is not a table is, for error messages; ``kind`` is PostgreSQL's ``relkind``."""
    return _KINDS.get(kind, "another kind of relation")


def time_column_problem(table: SourceTable, column_type: str | None) -> str:
    """Returns why a table's time column cannot be used, or an empty string if it can or the table has none.

    Args:
        table: the table's entry in the definition.
        column_type: the column's type, or None if the column does not exist.
    """
    if not table.time_column or column_type in (ZONED, LOCAL, DATE):
        return ""
    problem = f"is of type {column_type}" if column_type else "does not exist"
    return (
        f"source.tables: {table.name}: time_column {table.time_column} {problem}. "
        "It must be a timestamptz, timestamp or date"
    )
