"""The source digest, which names a folder, identifies everything that determines a query's rows except the data."""

from __future__ import annotations

from collections.abc import Sequence

from quire.postgres import SourceTransaction
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest
from quire.run_records.serialization import digest
from quire.run_records.stage_records import SourceColumn

EXTRACTOR = 2  # increment when the same rows would be stored as different values, to invalidate cached partitions


def read_source_digest(
    definition: ReportDefinition,
    request: RunRequest,
    columns: Sequence[SourceColumn],
    *,
    transaction: SourceTransaction,
) -> str:
    """Returns a digest of the query, its parameters and columns, and the transaction's database.

    Raises:
        QueryError, SourceUnavailableError: PostgreSQL rejects the query, or is unreachable.
    """
    return digest(
        EXTRACTOR, definition.sql_text, request.parameters, definition.timezone, definition.source.time_column,
        columns, _database_identity(transaction),
    )  # fmt: skip


def _database_identity(transaction: SourceTransaction) -> list[str]:
    """Returns the cluster identifier, database, role and search_path.

    If the role is not allowed to read the cluster identifier, returns the server's address instead. The role and
    search_path matter because roles may see different rows (row-level security) and different tables.
    """
    may_read_identifier = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS yes"
    identifier = "(SELECT system_identifier::text FROM pg_control_system())"
    address = "concat(inet_server_addr(), ' ', inet_server_port())"
    (row,) = transaction.fetch_own(
        f"SELECT {identifier if transaction.fetch_own(may_read_identifier)[0]['yes'] else address} AS cluster, "  # noqa: S608 - ours
        "current_database()::text AS database, current_user::text AS role, "
        "(SELECT reset_val FROM pg_settings WHERE name = 'search_path') AS path"  # applies to the report's query
    )
    return [row["cluster"], row["database"], row["role"], row["path"]]
