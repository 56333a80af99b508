"""Installs and removes change tracking, as the owner of the tables: each in one transaction, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Composed, Identifier, Literal

from quire.errors import ReportError, error_context
from quire.postgres.owner import (
    Owner,
    create_schema,
    ensure_own_schema,
    installing,
    lock_tables,
    owner_transaction,
    withdraw_default_grants,
)
from quire.postgres.session_settings import SAFE_SEARCH_PATH
from quire.postgres.tracking.arrived_rows import log_arrived_rows
from quire.postgres.tracking.inspection import (
    TableState,
    inspection_query,
    resolution_query,
    resolved_tables,
    table_states,
)
from quire.postgres.tracking.triggers import FILES, create_triggers, drop_triggers, kind_of, node_name, unclaimed_nodes
from quire.report.definition import ReportDefinition, SourceTable

VIEWS = ("readable_tables", "readable_changes")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registered:
    """What was tracked when tracking was last installed: a table, its column's type, and its nodes."""

    relation: int
    time_column: str | None
    column_type: str | None
    nodes: tuple[int, ...]


def track(definition: ReportDefinition, owner_url: str) -> tuple[str, ...]:
    """Installs what is missing of the change log and the triggers of a report's tables; says so in a line for each.

    Done again it changes nothing and waits for nobody. Where changes may have gone unseen, stored partitions become
    stale: all of them where a trigger was gone, those of its rows where a partition was added.

    Args:
        definition: the report.
        owner_url: of a role that owns the tables and may create a schema.

    Raises:
        NotTrackedError: one of its tables cannot be tracked.
        QueryError: PostgreSQL refuses.
        SourceUnavailableError: PostgreSQL is away, or a table is written to for too long.
        UntrustedSchemaError: the schema ``quire``, or an object in it, is owned by another role.
    """
    with error_context(report=definition.name), installing(owner_url) as owner:
        create_schema(owner)
        owner.execute((FILES / "change_log.sql").read_bytes())
        _create_views(owner)
        withdraw_default_grants(owner)
        states = _inspect_as_owner(owner, definition.source.tables)
        _forget_dropped_tables(owner)
        incomplete = sorted({node for state in states for node in state.incomplete})
        lock_tables(owner, _only(owner, incomplete), "SHARE ROW EXCLUSIVE")  # as CREATE TRIGGER does, one by one
        lines = tuple(_track_table(owner, state) for state in states)
        _replace_registration(owner, definition.name, states)
        _release_unclaimed(owner)
    return lines


def untrack(report: str, owner_url: str) -> tuple[str, ...]:
    """Removes every trace of a report's tracking, but for what another report tracks too; a line for each table.

    With the last report, the schema goes. The report may have no definition any more.

    Raises:
        QueryError: PostgreSQL refuses.
        SourceUnavailableError: PostgreSQL is away, or a table is used for too long.
        UntrustedSchemaError: the schema ``quire``, or an object in it, is owned by another role.
    """
    with error_context(report=report), installing(owner_url) as owner:
        if not _is_installed(owner):
            return ()
        claimed = owner.execute(
            "DELETE FROM quire.tracking WHERE report = %s::text "
            "RETURNING relation::text AS name, relation::oid::bigint AS oid",
            [report],
        ).fetchall()
        kept = {row["oid"] for row in owner.execute("SELECT relation::oid::bigint AS oid FROM quire.tracking")}
        if not kept:  # waits for readers of the log before any writer has to wait
            owner.execute("DROP VIEW quire.readable_changes, quire.readable_tables")
        _release_unclaimed(owner)
        if not kept:
            owner.execute((FILES / "untrack.sql").read_bytes())
    return tuple(
        f"{row['name']}: {'another report tracks it still' if row['oid'] in kept else 'no longer tracked'}"
        for row in claimed
    )


def compact_logs(owner_urls: Iterable[str]) -> int:
    """Compacts several databases' logs, whatever comes of one; returns by how many records they shrank.

    Raises:
        QueryError: PostgreSQL refuses, for one of them.
        SourceUnavailableError: a PostgreSQL is away.
        UntrustedSchemaError: in one of them, the schema ``quire`` is owned by another role.
    """
    shrunk, failed = 0, list[ReportError]()
    for owner_url in sorted(owner_urls):
        try:
            shrunk += compact(owner_url)
        except ReportError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return shrunk


def compact(owner_url: str) -> int:
    """Replaces the records of each bucket by their sum; no token changes. Returns by how many records the log shrank.

    Raises:
        QueryError: PostgreSQL refuses.
        SourceUnavailableError: PostgreSQL is away.
        UntrustedSchemaError: the schema ``quire``, or an object in it, is owned by another role.
    """
    with owner_transaction(owner_url) as owner:
        ensure_own_schema(owner)
        if not _is_installed(owner):
            return 0
        row = owner.execute((FILES / "compact.sql").read_bytes()).fetchone()
        return int(row["removed"]) if row else 0


def _is_installed(owner: Owner) -> bool:
    row = owner.execute("SELECT to_regclass('quire.tracking') IS NOT NULL AS yes").fetchone()
    return bool(row and row["yes"])


def _create_views(owner: Owner) -> None:
    """Creates the readers' views where they are missing or differ; a comment on each says which text made it."""
    text = (FILES / "change_views.sql").read_bytes()
    comment = f"Quire {hashlib.sha256(text).hexdigest()}"
    made = owner.execute(
        "SELECT count(*) AS views FROM pg_class WHERE oid IN (to_regclass('quire.readable_tables'), "
        "to_regclass('quire.readable_changes')) AND obj_description(oid, 'pg_class') = %s::text",
        [comment],
    ).fetchone()
    if not made or made["views"] < len(VIEWS):
        owner.execute(text)
        for view in VIEWS:
            owner.execute(SQL("COMMENT ON VIEW quire.{} IS {}").format(Identifier(view), Literal(comment)))
    owner.execute(
        "GRANT USAGE ON SCHEMA quire TO PUBLIC; GRANT SELECT ON quire.readable_tables, quire.readable_changes TO PUBLIC"
    )


def _inspect_as_owner(owner: Owner, tables: Sequence[SourceTable]) -> tuple[TableState, ...]:
    """Returns the state of tables; unqualified names are resolved by the connection's own search_path."""
    owner.execute("SET LOCAL search_path TO DEFAULT")
    resolved = owner.execute(resolution_query(tables).encode()).fetchall()
    owner.execute(f"SET LOCAL search_path TO {SAFE_SEARCH_PATH}")
    relations = resolved_tables(resolved)
    return table_states(tables, owner.execute(inspection_query(tables, relations).encode()).fetchall())


def _track_table(owner: Owner, state: TableState) -> str:
    registered = _registered(owner, state)
    for node in state.incomplete:
        create_triggers(owner, node, state.table.time_column)
    added = set(state.nodes) - set(registered.nodes if registered else ())
    how = f"by {state.table.time_column}" if state.table.time_column else "as a whole"
    if registered is None:
        _register(owner, state)
        return f"{state.table.name}: tracked {how}"
    if _went_unseen(registered, state):
        _unregister(owner, registered)
        _register(owner, state)
        gone = unclaimed_nodes(owner, set(registered.nodes) - set(state.nodes), state.table.time_column)
        drop_triggers(owner, gone, state.table.time_column)
        return f"{state.table.name}: tracked {how}, anew: changes may have gone unseen, all that is stored is stale"
    if added:
        for node in sorted(added):
            log_arrived_rows(owner, node, state.table.time_column)
        owner.execute(
            "UPDATE quire.tracked_table SET nodes = %s::oid[]::regclass[] "
            "WHERE relation = %s::oid AND time_column IS NOT DISTINCT FROM %s::name",
            [list(state.nodes), state.relation, state.table.time_column],
        )
        return f"{state.table.name}: tracked {how}; new partitions: {len(added)}"
    return f"{state.table.name}: was tracked {how} already"


def _went_unseen(registered: _Registered, state: TableState) -> bool:
    known = set(registered.nodes)
    return (
        registered.column_type != state.column_type
        or bool(known - set(state.nodes))
        or bool(known & set(state.incomplete))
    )


def _registered(owner: Owner, state: TableState) -> _Registered | None:
    row = owner.execute(
        "SELECT format_type(column_type, NULL) AS column_type, nodes::oid[]::bigint[] AS nodes "
        "FROM quire.tracked_table WHERE relation = %s::oid AND time_column IS NOT DISTINCT FROM %s::name",
        [state.relation, state.table.time_column],
    ).fetchone()
    if row is None:
        return None
    return _Registered(
        relation=state.relation,
        time_column=state.table.time_column,
        column_type=row["column_type"],
        nodes=tuple(row["nodes"]),
    )


def _register(owner: Owner, state: TableState) -> None:
    owner.execute(
        "INSERT INTO quire.tracked_table (relation, time_column, column_type, nodes) "
        "VALUES (%s::oid, %s::name, %s::text::regtype, %s::oid[]::regclass[])",
        [state.relation, state.table.time_column, state.column_type, list(state.nodes)],
    )


def _unregister(owner: Owner, registered: _Registered) -> None:
    owner.execute(
        "DELETE FROM quire.tracked_table WHERE relation = %s::oid AND time_column IS NOT DISTINCT FROM %s::name",
        [registered.relation, registered.time_column],
    )


def _forget_dropped_tables(owner: Owner) -> None:
    for table in ("tracking", "tracked_table"):
        owner.execute(
            SQL("DELETE FROM quire.{} WHERE relation NOT IN (SELECT oid FROM pg_class)").format(Identifier(table))
        )


def _replace_registration(owner: Owner, report: str, states: Sequence[TableState]) -> None:
    owner.execute("DELETE FROM quire.tracking WHERE report = %s::text", [report])
    owner.cursor().executemany(
        "INSERT INTO quire.tracking (report, relation, time_column) VALUES (%s::text, %s::oid, %s::name)",
        [(report, state.relation, state.table.time_column) for state in states],
    )


def _only(owner: Owner, nodes: Iterable[int]) -> list[Composed]:
    """Returns the names of the nodes that still exist, without their partitions, which are nodes themselves."""
    return [SQL("ONLY {}").format(node_name(owner, node)) for node in nodes if kind_of(owner, node)]


def _release_unclaimed(owner: Owner) -> None:
    """Removes what no report tracks any more."""
    unclaimed = owner.execute(
        "DELETE FROM quire.tracked_table AS tracked WHERE NOT EXISTS (SELECT FROM quire.tracking AS claim "
        "WHERE claim.relation = tracked.relation AND claim.time_column IS NOT DISTINCT FROM tracked.time_column) "
        "RETURNING time_column, nodes::oid[]::bigint[] AS nodes"
    ).fetchall()
    released = [(row["time_column"], unclaimed_nodes(owner, row["nodes"], row["time_column"])) for row in unclaimed]
    nodes = sorted({node for _, nodes in released for node in nodes})
    lock_tables(owner, _only(owner, nodes), "ACCESS EXCLUSIVE")  # as DROP TRIGGER does, one by one
    for time_column, nodes in released:
        drop_triggers(owner, nodes, time_column)
    owner.execute((FILES / "drop_idle_loggers.sql").read_bytes())
