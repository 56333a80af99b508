"""Which tables a query reads: views are their tables, partitions the table that they belong to."""

from __future__ import annotations

from quire.source import SourceTransaction

_TABLES_LOCKED = """
WITH RECURSIVE tree (root, node) AS (
    SELECT class.oid, class.oid
      FROM pg_locks JOIN pg_class AS class ON class.oid = pg_locks.relation
     WHERE pg_locks.pid = pg_backend_pid() AND pg_locks.locktype = 'relation' AND pg_locks.mode = 'AccessShareLock'
       AND class.relkind IN ('r', 'p', 'm', 'f')
       AND class.relnamespace NOT IN (
           SELECT oid FROM pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'quire'))
    UNION
    SELECT coalesce(link.inhparent, tree.root), tree.node
      FROM tree JOIN pg_inherits AS link ON link.inhrelid = tree.root
)
SELECT DISTINCT root::bigint AS relation, format('%I.%I', nspname, relname) AS name
  FROM tree JOIN pg_class AS class ON class.oid = root JOIN pg_namespace AS space ON space.oid = relnamespace
 WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = root)
 ORDER BY 2
"""


def tables_read(sql: str, *, transaction: SourceTransaction) -> dict[int, str]:
    """Returns the tables that a query reads, their names by oid.

    EXPLAIN plans the query, for which PostgreSQL locks every relation of it; these locks name more than the plan
    does, which leaves out joins that change nothing, and conditions and partitions that today's values rule out.
    What functions read that PostgreSQL does not look into is in neither.

    Raises:
        QueryError, SourceUnavailableError: PostgreSQL refuses the query, or is away.
    """
    transaction.fetch(f"EXPLAIN (FORMAT JSON) {sql}")
    return {row["relation"]: row["name"] for row in transaction.fetch(_TABLES_LOCKED)}
