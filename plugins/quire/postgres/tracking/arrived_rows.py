"""Logs the rows that a new partition of a tracked table already contains."""

from __future__ import annotations

from psycopg.sql import SQL, Identifier, Literal

from quire.postgres.schema_owner import OwnerConnection
from quire.postgres.tracking.triggers import node_name

_NODE_STATE = """
SELECT pg_relation_size(class.oid) > 0 AS has_rows,
       NOT EXISTS (SELECT FROM pg_roles AS role
                    WHERE role.oid IN (class.relowner, space.nspowner) AND NOT role.rolsuper
                      AND role.rolname NOT IN (current_user, 'pg_database_owner') AND role.oid <> base.datdba
       ) AND NOT row_security_active(class.oid) AS is_trusted  -- a policy would hide rows, and so is an error
  FROM pg_class AS class
  JOIN pg_namespace AS space ON space.oid = class.relnamespace
  JOIN pg_database AS base ON base.datname = current_database()
 WHERE class.oid = %s::oid
"""


def log_arrived_rows(owner: OwnerConnection, node: int, time_column: str | None) -> None:
    """Logs the existing rows in a new partition.

    Reads the rows only if trusted roles own the partition and its schema. An untrusted owner could replace the
    partition with a view, or add a policy to the partition, and thus execute its own functions with this role's
    privileges. If an owner is not trusted, or if row-level security applies to this role, this function marks all
    stored partitions as stale instead.
    """
    state = owner.execute(_NODE_STATE, [node]).fetchone()
    if state is None or not state["has_rows"]:
        return
    if not state["is_trusted"]:
        owner.execute(
            "INSERT INTO quire.change_log (relation, time_column, bucket, n) VALUES (%s::oid, %s::name, NULL, 1)",
            [node, time_column],
        )
        return
    bucket = SQL("quire.bucket({})").format(Identifier(time_column)) if time_column else SQL("NULL::timestamp")
    owner.execute(
        SQL(
            "INSERT INTO quire.change_log (relation, time_column, bucket, n) "
            "SELECT {node}::oid, {column}, {bucket}, count(*) FROM ONLY {table} GROUP BY 3"
        ).format(node=Literal(node), column=Literal(time_column), bucket=bucket, table=node_name(owner, node))
    )
