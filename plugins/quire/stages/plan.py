"""Plan: what is to be read, split into partitions, before anything is read."""

from __future__ import annotations

import logging
import math

from quire.artifacts import RunPlan, RunRequest, digest
from quire.calendar_range import DatePartition, DateRange
from quire.definition import ReportDefinition
from quire.errors import concerning
from quire.freshness import refuse_unwatched
from quire.query import bound_query
from quire.result_columns import check_columns
from quire.source import SourceSession, SourceTransaction, open_transaction

logger = logging.getLogger(__name__)

GROUPS = 64  # mapped tasks of one run: each costs Airflow 0.2 to 0.7 s
EXTRACTOR = 1  # raised when the same rows would be stored otherwise, so that old objects are not met again


def plan_partitions(definition: ReportDefinition, request: RunRequest, *, session: SourceSession) -> RunPlan:
    """Splits the range into partitions, in at most 64 groups, and asks PostgreSQL what the query returns.

    Args:
        definition: the report.
        request: what was asked for.
        session: the source.

    Raises:
        DefinitionError: the query does not return what the definition names.
        NotTrackedError: changes of a table are not tracked, where they should be.
        QueryError: PostgreSQL refuses the query.
        SourceUnavailableError: PostgreSQL cannot be reached.
    """
    days = DateRange(start=request.start, end=request.end, timezone=request.timezone)
    partitions = days.partitions(definition.partition)
    with (
        concerning(report=definition.name),
        open_transaction(session, name=f"quire {definition.name} plan") as transaction,
    ):
        columns = transaction.columns(bound_query(definition, request, partitions[0]))
        check_columns(definition, columns)
        refuse_unwatched(definition, partitions[0], transaction=transaction)
        identity = _database_identity(transaction)
    source_digest = digest(
        EXTRACTOR, definition.sql_text, request.parameters, definition.timezone, definition.source.time_column,
        columns, identity,
    )  # fmt: skip
    groups = _spread(partitions)
    logger.info(
        "%s: %s partitions in %s groups, source %s", request.report, len(partitions), len(groups), source_digest
    )
    return RunPlan(request=request, source_digest=source_digest, columns=columns, groups=groups)


def _spread(partitions: tuple[DatePartition, ...]) -> tuple[tuple[DatePartition, ...], ...]:
    size = math.ceil(len(partitions) / GROUPS)
    return tuple(partitions[first : first + size] for first in range(0, len(partitions), size))


def _database_identity(transaction: SourceTransaction) -> list[str]:
    """Returns what tells this database from every other: the cluster's own number, and the database's name.

    Where a role may not read the number, the server's address stands for it.
    """
    allowed = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE') AS yes"
    number = "system_identifier::text AS cluster, current_database()::text AS database FROM pg_control_system()"
    address = "concat(inet_server_addr(), ' ', inet_server_port()) AS cluster, current_database()::text AS database"
    (row,) = transaction.fetch(f"SELECT {number if transaction.fetch(allowed)[0]['yes'] else address}")
    return [row["cluster"], row["database"]]
