"""Installs, compacts and removes change tracking as the tables' owner; each operation is one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Composed, Identifier, Literal

from quire.errors import ReportError, error_context
from quire.postgres.schema_owner import (
    LOCK_SECONDS,
    OwnerConnection,
    create_schema,
    ensure_own_schema,
    installation_transaction,
    lock_tables,
    owner_transaction,
    withdraw_default_grants,
)
from quire.postgres.session_settings import SAFE_SEARCH_PATH
from quire.postgres.source_tables import resolution_query, resolved_tables
from quire.postgres.tracking.arrived_rows import log_arrived_rows
from quire.postgres.tracking.inspection import TableState, inspection_query, table_states
from quire.postgres.tracking.triggers import FILES, create_triggers, drop_triggers, kind_of, node_name, unclaimed_nodes
from quire.report.definition import ReportDefinition, SourceTable

VIEWS = ("readable_tables", "readable_changes")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Registered:
    """The OID, time column, column type and nodes that a table had when tracking was last installed."""

    relation: int
    time_column: str | None
    column_type: str | None
    nodes: tuple[int, ...]


def track(definition: ReportDefinition, owner_url: str, *, lock_seconds: int = LOCK_SECONDS) -> tuple[str, ...]:
    """Installs the change log and the triggers on a report's tables, except for parts that already exist.

    If nothing is missing, this function changes nothing and does not wait for locks. If a trigger was missing, changes
    may not have been logged, so all stored partitions become stale. If a table has a new partition, the stored
    partitions that overlap the new partition's rows become stale.

    Args:
        definition: the report.
        owner_url: the connection URL for a role that owns the tables and is allowed to create a schema.
        lock_seconds: the maximum wait for locks on the tables.

    Returns:
        A line of output for each table.

    Raises:
        NotTrackedError: a table cannot be tracked.
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: PostgreSQL cannot be reached, or a writer holds a table's lock for too long.
        UntrustedSchemaError: another role owns the ``quire`` schema or an object in it.
    """
    with error_context(report=definition.name), installation_transaction(owner_url, lock_seconds=lock_seconds) as owner:
        create_schema(owner)
        owner.execute((FILES / "change_log.sql").read_bytes())
        _create_views(owner)
        withdraw_default_grants(owner)
        states = _inspect_as_owner(owner, definition.source.tables)
        _forget_dropped_tables(owner)
        incomplete = sorted({node for state in states for node in state.incomplete})
        # CREATE TRIGGER would acquire the same locks, but one at a time.
        lock_tables(owner, _only(owner, incomplete), "SHARE ROW EXCLUSIVE", lock_seconds=lock_seconds)
        lines = tuple(_track_table(owner, state) for state in states)
        _replace_registration(owner, definition.name, states)
        _release_unclaimed(owner, lock_seconds=lock_seconds)
    return lines


def untrack(report: str, owner_url: str) -> tuple[str, ...]:
    """Removes a report's tracking, except from tables that another report also tracks.

    If no other report is tracked, this function also drops the schema. The report's definition is not needed.

    Returns:
        A line of output for each table.

    Raises:
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: PostgreSQL cannot be reached, or a table is in use for too long.
        UntrustedSchemaError: another role owns the ``quire`` schema or an object in it.
    """
    with error_context(report=report), installation_transaction(owner_url) as owner:
        if not _is_installed(owner):
            return ()
        removed = owner.execute(
            "DELETE FROM quire.tracking WHERE report = %s::text "
            "RETURNING relation::text AS name, relation::oid::bigint AS oid",
            [report],
        ).fetchall()
        tracked = {row["oid"] for row in owner.execute("SELECT relation::oid::bigint AS oid FROM quire.tracking")}
        if not tracked:  # waits for the log's readers now, so that writers do not have to wait for them later
            owner.execute("DROP VIEW quire.readable_changes, quire.readable_tables")
        _release_unclaimed(owner)
        if not tracked:
            owner.execute((FILES / "untrack.sql").read_bytes())
    return tuple(
        f"{row['name']}: {'still tracked for another report' if row['oid'] in tracked else 'no longer tracked'}"
        for row in removed
    )


def compact_logs(owner_urls: Iterable[str]) -> int:
    """Compacts the change logs in several databases; an error is raised only after all databases have been processed.

    Returns:
        The number of records by which the logs have shrunk in total.

    Raises:
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: a database cannot be reached.
        UntrustedSchemaError: another role owns the ``quire`` schema in one of the databases.
    """
    removed, errors = 0, list[ReportError]()
    for owner_url in sorted(owner_urls):
        try:
            removed += compact(owner_url)
        except ReportError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return removed


def compact(owner_url: str) -> int:
    """Replaces each bucket's records with their sum, which does not change any freshness token.

    Returns:
        The number of records by which the log has shrunk.

    Raises:
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: PostgreSQL cannot be reached.
        UntrustedSchemaError: another role owns the ``quire`` schema or an object in it.
    """
    with owner_transaction(owner_url) as owner:
        ensure_own_schema(owner)
        if not _is_installed(owner):
            return 0
        row = owner.execute((FILES / "compact.sql").read_bytes()).fetchone()
        return int(row["removed"]) if row else 0


def _is_installed(owner: OwnerConnection) -> bool:
    row = owner.execute("SELECT to_regclass('quire.tracking') IS NOT NULL AS yes").fetchone()
    return bool(row and row["yes"])


def _create_views(owner: OwnerConnection) -> None:
    """Creates the views for readers, unless the digests in the views' comments show that they are up to date."""
    text = (FILES / "change_views.sql").read_bytes()
    comment = f"Quire {hashlib.sha256(text).hexdigest()}"
    current = owner.execute(
        "SELECT count(*) AS views FROM pg_class WHERE oid IN (to_regclass('quire.readable_tables'), "
        "to_regclass('quire.readable_changes')) AND obj_description(oid, 'pg_class') = %s::text",
        [comment],
    ).fetchone()
    if not current or current["views"] < len(VIEWS):
        owner.execute(text)
        for view in VIEWS:
            owner.execute(SQL("COMMENT ON VIEW quire.{} IS {}").format(Identifier(view), Literal(comment)))
    owner.execute(
        "GRANT USAGE ON SCHEMA quire TO PUBLIC; GRANT SELECT ON quire.readable_tables, quire.readable_changes TO PUBLIC"
    )


def _inspect_as_owner(owner: OwnerConnection, tables: Sequence[SourceTable]) -> tuple[TableState, ...]:
    """Returns each table's state; resolves unqualified names under the connection's own search_path."""
    owner.execute("SET LOCAL search_path TO DEFAULT")
    resolved = owner.execute(resolution_query(tables).encode()).fetchall()
    owner.execute(f"SET LOCAL search_path TO {SAFE_SEARCH_PATH}")
    relations = resolved_tables(resolved)
    return table_states(tables, owner.execute(inspection_query(tables, relations).encode()).fetchall())


def _track_table(owner: OwnerConnection, state: TableState) -> str:
    registered = _find_registration(owner, state)
    for node in state.incomplete:
        create_triggers(owner, node, state.table.time_column)
    added = set(state.nodes) - set(registered.nodes if registered else ())
    how = f"by {state.table.time_column}" if state.table.time_column else "as a whole"
    if registered is None:
        _register(owner, state)
        return f"{state.table.name}: tracked {how}"
    if _may_have_missed_changes(registered, state):
        _unregister(owner, registered)
        _register(owner, state)
        removed = unclaimed_nodes(owner, set(registered.nodes) - set(state.nodes), state.table.time_column)
        drop_triggers(owner, removed, state.table.time_column)
        return (
            f"{state.table.name}: tracked {how} again; stored partitions are stale because changes may have been missed"
        )
    if added:
        for node in sorted(added):
            log_arrived_rows(owner, node, state.table.time_column)
        owner.execute(
            "UPDATE quire.tracked_table SET nodes = %s::oid[]::regclass[] "
            "WHERE relation = %s::oid AND time_column IS NOT DISTINCT FROM %s::name",
            [list(state.nodes), state.relation, state.table.time_column],
        )
        return f"{state.table.name}: tracked {how}; new partitions: {len(added)}"
    return f"{state.table.name}: already tracked {how}"


def _may_have_missed_changes(registered: _Registered, state: TableState) -> bool:
    nodes = set(registered.nodes)
    return (
        registered.column_type != state.column_type
        or bool(nodes - set(state.nodes))
        or bool(nodes & set(state.incomplete))
    )


def _find_registration(owner: OwnerConnection, state: TableState) -> _Registered | None:
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


def _register(owner: OwnerConnection, state: TableState) -> None:
    owner.execute(
        "INSERT INTO quire.tracked_table (relation, time_column, column_type, nodes) "
        "VALUES (%s::oid, %s::name, %s::text::regtype, %s::oid[]::regclass[])",
        [state.relation, state.table.time_column, state.column_type, list(state.nodes)],
    )


def _unregister(owner: OwnerConnection, registered: _Registered) -> None:
    owner.execute(
        "DELETE FROM quire.tracked_table WHERE relation = %s::oid AND time_column IS NOT DISTINCT FROM %s::name",
        [registered.relation, registered.time_column],
    )


def _forget_dropped_tables(owner: OwnerConnection) -> None:
    for table in ("tracking", "tracked_table"):
        owner.execute(
            SQL("DELETE FROM quire.{} WHERE relation NOT IN (SELECT oid FROM pg_class)").format(Identifier(table))
        )


def _replace_registration(owner: OwnerConnection, report: str, states: Sequence[TableState]) -> None:
    owner.execute("DELETE FROM quire.tracking WHERE report = %s::text", [report])
    owner.cursor().executemany(
        "INSERT INTO quire.tracking (report, relation, time_column) VALUES (%s::text, %s::oid, %s::name)",
        [(report, state.relation, state.table.time_column) for state in states],
    )


def _only(owner: OwnerConnection, nodes: Iterable[int]) -> list[Composed]:
    """Returns ``ONLY name`` for each node that still exists. Each partition is a separate node."""
    return [SQL("ONLY {}").format(node_name(owner, node)) for node in nodes if kind_of(owner, node)]


def _release_unclaimed(owner: OwnerConnection, *, lock_seconds: int = LOCK_SECONDS) -> None:
    """Removes tracking from tables that no report tracks anymore."""
    unclaimed = owner.execute(
        "DELETE FROM quire.tracked_table AS tracked WHERE NOT EXISTS (SELECT FROM quire.tracking AS claim "
        "WHERE claim.relation = tracked.relation AND claim.time_column IS NOT DISTINCT FROM tracked.time_column) "
        "RETURNING time_column, nodes::oid[]::bigint[] AS nodes"
    ).fetchall()
    released = [(row["time_column"], unclaimed_nodes(owner, row["nodes"], row["time_column"])) for row in unclaimed]
    nodes = sorted({node for _, nodes in released for node in nodes})
    # DROP TRIGGER would acquire the same locks, but one at a time.
    lock_tables(owner, _only(owner, nodes), "ACCESS EXCLUSIVE", lock_seconds=lock_seconds)
    for time_column, nodes in released:
        drop_triggers(owner, nodes, time_column)
    owner.execute((FILES / "drop_idle_loggers.sql").read_bytes())
