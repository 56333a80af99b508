"""Binds a report's query to a partition, and reads the query's result columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quire.date_range import DatePartition
from quire.errors import DefinitionError, QueryError, StatementError
from quire.record_types.stage_records import QueryEstimate, SourceColumn
from quire.report import sql_template
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest
from quire.report.sql_template import Statement

if TYPE_CHECKING:
    from quire.postgres import SourceTransaction


def bound_query(definition: ReportDefinition, request: RunRequest, partition: DatePartition) -> Statement:
    """Returns a partition's SQL, which contains the partition's bounds and the request's parameters as quoted literals.

    Raises:
        ParameterError: a value cannot be sent to PostgreSQL.
    """
    binds = definition.sql_binds(request.parameters)
    return sql_template.bind(definition.sql_text, {**binds, "start": partition.starts_at, "end": partition.stops_at})


def query_columns(
    definition: ReportDefinition, request: RunRequest, partition: DatePartition, *, transaction: SourceTransaction
) -> tuple[SourceColumn, ...]:
    """Returns the query's result columns without reading rows.

    Raises:
        DefinitionError: PostgreSQL cannot parse or resolve the query.
        ParameterError: a value cannot be sent to PostgreSQL.
        QueryError: PostgreSQL rejected the query for another reason.
        SourceUnavailableError: PostgreSQL cannot be reached.
    """
    try:
        return transaction.columns(bound_query(definition, request, partition))
    except QueryError as error:
        line = f":{error.line}" if error.line else ""
        kind = DefinitionError if isinstance(error, StatementError) else type(error)
        raise kind(f"sql/{definition.source.sql}{line}: {error.message}") from error


def estimate_query(
    definition: ReportDefinition, request: RunRequest, *, transaction: SourceTransaction
) -> QueryEstimate:
    """Returns the PostgreSQL planner's estimate for the query over the entire date range.

    Raises:
        ParameterError: a value cannot be sent to PostgreSQL.
        QueryError: PostgreSQL rejected the query.
        SourceUnavailableError: PostgreSQL cannot be reached.
    """
    plan = transaction.explain(bound_query(definition, request, request.date_range.as_partition()))[0]["Plan"]
    return QueryEstimate(rows=float(plan["Plan Rows"]), cost=float(plan["Total Cost"]))
