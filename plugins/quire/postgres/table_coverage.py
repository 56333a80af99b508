"""Finds the tables that a query reads: underlying tables instead of views, and parent tables instead of partitions."""

from __future__ import annotations

from quire.postgres import SourceTransaction
from quire.postgres.source_tables import resolution_query, resolved_tables
from quire.report.definition import ReportDefinition
from quire.report.sql_template import Statement

_UNLISTED_TABLES = """
WITH RECURSIVE tree (node, root) AS (
    SELECT class.oid, class.oid
      FROM pg_locks JOIN pg_class AS class ON class.oid = pg_locks.relation
     WHERE pg_locks.pid = pg_backend_pid() AND pg_locks.locktype = 'relation' AND pg_locks.mode = 'AccessShareLock'
       AND class.relkind IN ('r', 'p', 'm', 'f')
       AND class.relnamespace NOT IN (
           SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'quire'))
    UNION
    SELECT tree.node, link.inhparent FROM tree JOIN pg_inherits AS link ON link.inhrelid = tree.root
),
listed (node) AS (
    SELECT unnest(ARRAY[{listed}]::oid[])
    UNION
    SELECT link.inhrelid FROM listed JOIN pg_inherits AS link ON link.inhparent = listed.node
)
SELECT format('%I.%I', nspname, relname) AS name
  FROM tree JOIN pg_class AS class ON class.oid = root JOIN pg_namespace AS space ON space.oid = relnamespace
 WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = root) AND node NOT IN (SELECT node FROM listed)
 ORDER BY 1
"""


def unlisted_tables(definition: ReportDefinition, sql: Statement, *, transaction: SourceTransaction) -> tuple[str, ...]:
    """Returns the tables that a query reads but that the definition does not list.

    EXPLAIN locks all relations in the query. These locks cover more than the plan, which omits redundant joins as well
    as conditions and partitions that the current values exclude. If PostgreSQL does not inline a function, neither the
    locks nor the plan include the tables that the function reads.

    Args:
        definition: the report.
        sql: the report's query, with values bound.
        transaction: a transaction in which no other query has read any tables.

    Raises:
        QueryError: PostgreSQL rejected the query.
        SourceUnavailableError: PostgreSQL cannot be reached.
    """
    transaction.explain(sql)
    relations = resolved_tables(transaction.fetch(resolution_query(definition.source.tables)))
    listed = ", ".join(str(relation) for relation in relations if relation is not None)
    rows = transaction.fetch_own(_UNLISTED_TABLES.replace("{listed}", listed))
    return tuple(dict.fromkeys(row["name"] for row in rows))
