"""Computes the source digest, which covers everything that determines a query's rows except the data."""

from __future__ import annotations

from collections.abc import Sequence

from quire.postgres import SourceTransaction
from quire.record_types.serialization import digest
from quire.record_types.stage_records import SourceColumn
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest

# If a standby takes over, PostgreSQL assigns the IDs of lost transactions again, and the change log may lose records.
TIMELINE_DEPENDENT = ("tracked", "versions")
MAY_READ = """
SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS cluster,
       has_function_privilege('pg_control_checkpoint()', 'EXECUTE')
           AND has_function_privilege('pg_control_recovery()', 'EXECUTE') AS timeline
"""
CLUSTER = "(SELECT system_identifier::text FROM pg_control_system())"
ADDRESS = "concat(inet_server_addr(), ' ', inet_server_port())"
# Until the first checkpoint after a promotion, only the recovery state contains the new timeline.
TIMELINE = """
(SELECT greatest(timeline_id, min_recovery_end_timeline)::text FROM pg_control_checkpoint(), pg_control_recovery())
"""
EXTRACTOR = 2  # increment to invalidate all cached partitions when the stored form of rows changes


def read_source_digest(
    definition: ReportDefinition,
    request: RunRequest,
    columns: Sequence[SourceColumn],
    *,
    transaction: SourceTransaction,
) -> str:
    """Returns a digest of the query, its parameters and columns, and the transaction's database.

    Raises:
        QueryError, SourceUnavailableError: PostgreSQL rejects the query or is unreachable.
    """
    return digest(
        EXTRACTOR, definition.sql_text, request.parameters, definition.timezone, definition.source.time_column,
        columns, _database_identity(definition, transaction),
    )  # fmt: skip


def _database_identity(definition: ReportDefinition, transaction: SourceTransaction) -> list[str]:
    """Returns the cluster identifier, database, role and search_path, and the timeline if freshness depends on it.

    The role and the search_path are included, because they can affect which rows (row-level security) and which tables
    a query reads. If the role is not allowed to read the cluster identifier, returns the server's address instead; if
    it is not allowed to read the timeline, omits it.
    """
    (may_read,) = transaction.fetch_own(MAY_READ)
    has_timeline = may_read["timeline"] and definition.source.freshness in TIMELINE_DEPENDENT
    (row,) = transaction.fetch_own(
        f"SELECT {CLUSTER if may_read['cluster'] else ADDRESS} AS cluster, "  # noqa: S608 - ours
        "current_database()::text AS database, current_user::text AS role, "
        "(SELECT reset_val FROM pg_settings WHERE name = 'search_path') AS path, "  # the report's search_path
        f"{TIMELINE if has_timeline else 'NULL'} AS timeline"
    )
    identity = [row["cluster"], row["database"], row["role"], row["path"]]
    return [*identity, row["timeline"]] if has_timeline else identity
