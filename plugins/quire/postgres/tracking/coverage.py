"""Which tables a query reads: views are their tables, partitions the table that they belong to."""

from __future__ import annotations

from quire.postgres import SourceTransaction
from quire.postgres.tracking.inspection import inspect_tables
from quire.report.definition import ReportDefinition
from quire.report.sql_template import Statement

_TABLES_LOCKED = """
WITH RECURSIVE tree (node, root) AS (
    SELECT class.oid, class.oid
      FROM pg_locks JOIN pg_class AS class ON class.oid = pg_locks.relation
     WHERE pg_locks.pid = pg_backend_pid() AND pg_locks.locktype = 'relation' AND pg_locks.mode = 'AccessShareLock'
       AND class.relkind IN ('r', 'p', 'm', 'f')
       AND class.relnamespace NOT IN (
           SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'quire'))
    UNION
    SELECT tree.node, link.inhparent FROM tree JOIN pg_inherits AS link ON link.inhrelid = tree.root
)
SELECT node::bigint AS node, format('%I.%I', nspname, relname) AS name
  FROM tree JOIN pg_class AS class ON class.oid = root JOIN pg_namespace AS space ON space.oid = relnamespace
 WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = root)
 ORDER BY 2, 1
"""


def forgotten_tables(
    definition: ReportDefinition, sql: Statement, *, transaction: SourceTransaction
) -> tuple[str, ...]:
    """Returns the tables that a query reads and the definition does not name.

    EXPLAIN plans the query, for which PostgreSQL locks every relation of it; these locks name more than the plan
    does, which leaves out joins that change nothing, and conditions and partitions that today's values rule out.
    What functions read that PostgreSQL does not look into is in neither.

    Args:
        definition: the report.
        sql: its query, bound.
        transaction: which has run nothing else but this query.

    Raises:
        NotTrackedError: a table that is named cannot be tracked.
        QueryError, SourceUnavailableError: PostgreSQL refuses the query, or is away.
    """
    transaction.explain(sql)
    read = transaction.fetch_own(_TABLES_LOCKED)
    states = inspect_tables(definition.source.tables, transaction=transaction)
    named = {node for state in states for node in state.nodes}
    return tuple(dict.fromkeys(row["name"] for row in read if row["node"] not in named))
