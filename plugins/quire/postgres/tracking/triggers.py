"""Creates and drops a node's triggers, and the functions that they execute."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files

from psycopg.sql import SQL, Composed, Identifier, Literal

from quire.postgres.schema_owner import OwnerConnection
from quire.postgres.tracking.inspection import REPLICA, STATEMENTS, trigger_name

FILES = files("quire.postgres.tracking") / "sql"
_ROWS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
    "truncate": "",
}


def create_triggers(owner: OwnerConnection, node: int, time_column: str | None) -> None:
    """Creates or replaces a node's triggers. CREATE TRIGGER waits for writers, so the triggers miss no changes."""
    table = node_name(owner, node)
    owner.execute(  # the log may also lack changes to other tracked tables that contain this node
        "UPDATE quire.tracked_table SET epoch = gen_random_uuid() "
        "WHERE %s::oid = ANY (nodes::oid[]) AND time_column IS NOT DISTINCT FROM %s::name",
        [node, time_column],
    )
    argument = SQL("") if time_column is None else Literal(time_column)
    logger = _create_logger(owner, time_column)
    for event in STATEMENTS:
        owner.execute(
            SQL(
                "CREATE OR REPLACE TRIGGER {trigger} AFTER {event} ON {table} {rows} FOR EACH STATEMENT "
                "EXECUTE FUNCTION {logger}(); "
                "ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER {trigger}"
            ).format(
                trigger=Identifier(trigger_name(event, time_column)),
                event=SQL(event.upper()),
                table=table,
                rows=SQL(_ROWS[event]),
                logger=logger,
            )
        )
    if kind_of(owner, node) == "r":
        owner.execute(
            SQL(
                "CREATE OR REPLACE TRIGGER {trigger} AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW "
                "EXECUTE FUNCTION quire.log_row({argument}); "
                "ALTER TABLE ONLY {table} ENABLE REPLICA TRIGGER {trigger}"
            ).format(trigger=Identifier(trigger_name(REPLICA, time_column)), table=table, argument=argument)
        )


def _create_logger(owner: OwnerConnection, time_column: str | None) -> Identifier:
    """Creates the trigger function for nodes with a given time column, and returns the function's name."""
    function = Identifier("quire", trigger_name("log", time_column))
    buckets = {
        name: SQL("quire.bucket({})").format(Identifier(f"{name}_rows", time_column))
        if time_column
        else SQL("NULL::pg_catalog.timestamp")
        for name in ("old", "new")
    }
    owner.execute(
        SQL((FILES / "log_statement.sql").read_text()).format(function=function, column=Literal(time_column), **buckets)
    )
    return function


def unclaimed_nodes(owner: OwnerConnection, nodes: Collection[int], time_column: str | None) -> list[int]:
    """Returns the nodes that no longer belong to any tracked table with this time column."""
    rows = owner.execute(
        "SELECT node::bigint FROM unnest(%s::oid[]) AS node WHERE NOT EXISTS (SELECT FROM quire.tracked_table "
        "WHERE node = ANY (nodes::oid[]) AND time_column IS NOT DISTINCT FROM %s::name)",
        [sorted(nodes), time_column],
    ).fetchall()
    return [row["node"] for row in rows]


def drop_triggers(owner: OwnerConnection, nodes: Collection[int], time_column: str | None) -> None:
    """Drops the triggers of unclaimed nodes, and deletes their records from the log."""
    for node in nodes:
        if kind_of(owner, node):
            for event in (*STATEMENTS, REPLICA):
                owner.execute(
                    SQL("DROP TRIGGER IF EXISTS {} ON {}").format(
                        Identifier(trigger_name(event, time_column)), node_name(owner, node)
                    )
                )
        owner.execute(
            "DELETE FROM quire.change_log WHERE relation = %s::oid AND time_column IS NOT DISTINCT FROM %s::name",
            [node, time_column],
        )


def kind_of(owner: OwnerConnection, node: int) -> str | None:
    """Returns a node's relkind, or None if it was dropped."""
    row = owner.execute("SELECT relkind::text AS kind FROM pg_class WHERE oid = %s::oid", [node]).fetchone()
    return row["kind"] if row else None


def node_name(owner: OwnerConnection, node: int) -> Composed:
    """Returns a node's qualified name as an SQL identifier."""
    row = owner.execute(
        "SELECT nspname, relname FROM pg_class JOIN pg_namespace AS space ON space.oid = relnamespace "
        "WHERE pg_class.oid = %s::oid",
        [node],
    ).fetchone() or {"nspname": "", "relname": ""}
    return Composed([Identifier(row["nspname"], row["relname"])])
