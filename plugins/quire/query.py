"""The report's query with its values in place."""

from __future__ import annotations

from quire import sql_template
from quire.artifacts import RunRequest
from quire.calendar_range import DatePartition
from quire.definition import ReportDefinition


def bound_query(definition: ReportDefinition, request: RunRequest, partition: DatePartition) -> str:
    """Returns the SQL for one partition: its instants and the request's parameters as quoted literals.

    Raises:
        ParameterError: a value cannot be sent to PostgreSQL.
    """
    binds = definition.sql_binds(request.parameters)
    return sql_template.render(
        definition.sql_text, {**binds, "start": partition.start_instant, "end": partition.stop_instant}
    )
