"""Computes the source digest, which covers everything that determines a query's rows except the data."""

from __future__ import annotations

from collections.abc import Sequence

from quire.postgres import SourceTransaction
from quire.record_types.serialization import digest
from quire.record_types.stage_records import SourceColumn
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest

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
        columns, _database_identity(transaction),
    )  # fmt: skip


def _database_identity(transaction: SourceTransaction) -> list[str]:
    """Returns the cluster identifier, database, role and search_path.

    If the role is not allowed to read the cluster identifier, returns the server's address instead. The role and the
    search_path are included, because they can affect which rows (row-level security) and which tables a query reads.
    """
    may_read_identifier = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS yes"
    identifier = "(SELECT system_identifier::text FROM pg_control_system())"
    address = "concat(inet_server_addr(), ' ', inet_server_port())"
    (row,) = transaction.fetch_own(
        f"SELECT {identifier if transaction.fetch_own(may_read_identifier)[0]['yes'] else address} AS cluster, "  # noqa: S608 - ours
        "current_database()::text AS database, current_user::text AS role, "
        "(SELECT reset_val FROM pg_settings WHERE name = 'search_path') AS path"  # the report's search_path
    )
    return [row["cluster"], row["database"], row["role"], row["path"]]
