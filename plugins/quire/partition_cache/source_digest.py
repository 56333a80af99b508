"""Computes the source digest, which covers everything that determines a query's rows except the data."""

from __future__ import annotations

from collections.abc import Sequence

from quire.postgres import SourceTransaction
from quire.record_types.serialization import digest
from quire.record_types.stage_records import SourceColumn
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest
from quire.report.sql_literal import literal

TOKENS_WITH_IDS = ("tracked", "versions")
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
    """Returns the cluster identifier, database, role and search_path, and in some cases the timeline.

    The role and the search_path are included, because they can affect which rows (row-level security) and which tables
    a query reads. If the role is not allowed to read the cluster identifier, returns the server's address instead.

    If freshness tokens depend on transaction IDs, the timeline is included. It changes if a standby takes over or if a
    database is restored to an earlier time; PostgreSQL then assigns the IDs of lost transactions again.
    """
    (row,) = transaction.fetch_own(
        f"SELECT {_cluster(transaction, with_timeline=definition.source.freshness in TOKENS_WITH_IDS)} AS cluster, "  # noqa: S608 - ours
        "current_database()::text AS database, current_user::text AS role, "
        "(SELECT reset_val FROM pg_settings WHERE name = 'search_path') AS path"  # the report's search_path
    )
    return [row["cluster"], row["database"], row["role"], row["path"]]


def _cluster(transaction: SourceTransaction, *, with_timeline: bool) -> str:
    """Returns an SQL expression that identifies the cluster."""
    functions = ["pg_control_system()"]
    if with_timeline:
        functions += ["pg_control_checkpoint()", "pg_control_recovery()"]
    allowed = " AND ".join(f"has_function_privilege({literal(name)}, 'EXECUTE')" for name in functions)
    if not transaction.fetch_own(f"SELECT {allowed} AS yes")[0]["yes"]:
        return "concat(inet_server_addr(), ' ', inet_server_port())"
    # A standby that was just promoted has the new timeline only in its recovery state, a primary in its checkpoint.
    timeline = " || ' ' || greatest(timeline_id, min_recovery_end_timeline)" if with_timeline else ""
    return f"(SELECT system_identifier::text{timeline} FROM {', '.join(functions)})"  # noqa: S608 - ours
