"""The source digest: what decides which rows a query returns, apart from the data, as a folder name in the store."""

from __future__ import annotations

from collections.abc import Sequence

from quire.postgres import SourceTransaction
from quire.records.serialization import digest
from quire.records.stage_records import SourceColumn
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest

EXTRACTOR = 2  # raised when the same rows would be stored as other values, so that old objects are not met again


def read_source_digest(
    definition: ReportDefinition,
    request: RunRequest,
    columns: Sequence[SourceColumn],
    *,
    transaction: SourceTransaction,
) -> str:
    """Returns the digest of the query, its parameters and columns, and the database that the transaction is in.

    Raises:
        QueryError, SourceUnavailableError: PostgreSQL refuses the question, or is away.
    """
    return digest(
        EXTRACTOR, definition.sql_text, request.parameters, definition.timezone, definition.source.time_column,
        columns, _database_identity(transaction),
    )  # fmt: skip


def _database_identity(transaction: SourceTransaction) -> list[str]:
    """Returns what else decides what a query reads: the cluster, by its own number, the database, and the role.

    Where a role may not read the number, the server's address stands for it. Of one query, roles may see different rows
    (row-level security), and different tables (search_path).
    """
    allowed = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS yes"
    number = "(SELECT system_identifier::text FROM pg_control_system())"
    address = "concat(inet_server_addr(), ' ', inet_server_port())"
    (row,) = transaction.fetch_own(
        f"SELECT {number if transaction.fetch_own(allowed)[0]['yes'] else address} AS cluster, "  # noqa: S608 - ours
        "current_database()::text AS database, current_user::text AS role, "
        "(SELECT reset_val FROM pg_settings WHERE name = 'search_path') AS path"  # the report's query runs under it
    )
    return [row["cluster"], row["database"], row["role"], row["path"]]
