"""Detects statements that change tables in a way that even older snapshots see."""

from __future__ import annotations

from collections.abc import Sequence

from quire.errors import SourceUnavailableError
from quire.postgres import SourceTransaction
from quire.postgres.source_tables import resolution_query, resolved_tables
from quire.report.definition import SourceTable
from quire.report.sql_literal import literal


def ensure_tables_not_rewritten(tables: Sequence[SourceTable], *, transaction: SourceTransaction) -> None:
    """Checks, after the rows have been read, that no table has been emptied or rewritten since the snapshot.

    If a statement truncates or rewrites a table, or attaches, detaches or drops a partition, older snapshots also see
    the result. While the report's query holds its locks, it blocks these statements. This function detects statements
    that ran between the snapshot and the locks. It compares the results of catalog queries, which reflect the snapshot,
    with those of catalog functions, which reflect the current state.

    Raises:
        SourceUnavailableError: a table was emptied, rewritten or repartitioned.
    """
    relations = resolved_tables(transaction.fetch(resolution_query(tables)))
    wanted = ", ".join(
        f"({literal(table.name)}::text, {relation}::oid)"
        for table, relation in zip(tables, relations, strict=True)
        if relation is not None
    )
    if not wanted:
        return
    replaced = transaction.fetch_own(f"""
WITH RECURSIVE tree (name, root, node) AS (
    SELECT name, relation, relation FROM (VALUES {wanted}) AS wanted (name, relation)
    UNION
    SELECT tree.name, tree.root, link.inhrelid
      FROM tree JOIN pg_inherits AS link ON link.inhparent = tree.node AND NOT link.inhdetachpending
)
SELECT min(name) AS name FROM (
    SELECT name FROM tree LEFT JOIN pg_class AS class ON class.oid = tree.node
     WHERE class.relkind IS NULL
        OR class.relkind IN ('r', 'm') AND class.relfilenode IS DISTINCT FROM pg_relation_filenode(node)
    UNION ALL
    SELECT name FROM (SELECT DISTINCT name, root FROM tree) AS roots, pg_partition_tree(root::regclass) AS part
     WHERE part.relid NOT IN (SELECT node FROM tree WHERE tree.root = roots.root)
    UNION ALL
    SELECT name FROM tree JOIN pg_class AS class ON class.oid = tree.root
     WHERE class.relkind = 'p' AND tree.node NOT IN (SELECT relid FROM pg_partition_tree(tree.root::regclass))
) AS replaced
""")[0]["name"]  # noqa: S608 - names are quoted literals
    if replaced:
        raise SourceUnavailableError(f"{replaced} was emptied, rewritten or repartitioned while it was read")
