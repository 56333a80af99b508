"""Tests a definition's query against the database for ``quire check``."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from quire.aggregation.measure_expression import parse_expression
from quire.aggregation.result_columns import validate_columns
from quire.date_range import DateRange
from quire.errors import error_context
from quire.partition_cache.freshness import ensure_changes_detectable
from quire.postgres import SourceSession, open_transaction
from quire.postgres.arrow_types import numeric_scale
from quire.postgres.partition_query import bound_query, query_columns
from quire.postgres.query_hints import query_advice
from quire.postgres.search_path import search_path_advice
from quire.postgres.table_coverage import unlisted_tables
from quire.record_types.stage_records import SourceColumn
from quire.report.definition import Parameter, ReportDefinition
from quire.report.request import RunRequest
from quire.settings import has_mail_connection, mail_variable

MAIL_FORM = '{"conn_type": "smtp", "host": "…", "login": "…", "password": "…", "extra": {"from_email": "…"}}'
SAMPLES = {"string": "", "integer": 0, "number": 0.0, "boolean": False, "date": "2000-01-01"}


def validate_query(definition: ReportDefinition, *, session: SourceSession) -> tuple[str, ...]:
    """Runs the query for the current day without fetching rows, checks its columns and tables, and returns advice.

    Raises:
        DefinitionError: the query is invalid or does not return all columns that the definition names.
        NotTrackedError: at least one table is not tracked. The message names all untracked tables.
        QueryError: PostgreSQL rejected the query.
        SourceUnavailableError: PostgreSQL is unreachable.
    """
    today = datetime.now(UTC).date()
    request = RunRequest(
        report=definition.name,
        start=today,
        end=today,
        timezone=definition.timezone,
        parameters={name: _sample(parameter) for name, parameter in definition.parameters.items()},
        run_id=uuid.uuid4().hex,
        made_at=datetime.now(UTC).isoformat(),
    )
    (partition,) = DateRange(start=today, end=today, timezone=definition.timezone).partitions(definition.partition)
    sql = bound_query(definition, request, partition)
    with error_context(report=definition.name), open_transaction(session) as transaction:
        columns = query_columns(definition, request, partition, transaction=transaction)
        validate_columns(definition, columns)
        path_advice = tuple(search_path_advice(transaction))
        unlisted: tuple[str, ...] = ()
        if definition.source.detects_table_changes:
            unlisted = unlisted_tables(definition, sql, transaction=transaction)
            ensure_changes_detectable(definition, partition, transaction=transaction)
    return (
        *query_advice(definition.sql_text),
        *_advice(definition, columns),
        *map(_unlisted_advice, unlisted),
        *path_advice,
    )


def mail_warnings(definition: ReportDefinition) -> Iterator[str]:
    """Yields a warning if the definition contains e-mail addresses but no e-mail connection is set."""
    has_addresses = any(isinstance(recipient, str) for recipient in definition.delivery.notify.recipients)
    if has_addresses and not has_mail_connection():
        yield (
            f"delivery.notify contains e-mail addresses, but {mail_variable()} is not set. Set it to {MAIL_FORM}, or "
            "add this connection in Airflow"
        )


def _unlisted_advice(table: str) -> str:
    return f"the query reads {table}, which is not in source.tables: Quire will not detect its changes"


def _sample(parameter: Parameter) -> object:
    if not parameter.required:
        return parameter.default
    return parameter.enum[0] if parameter.enum else SAMPLES[parameter.type]


def _advice(definition: ReportDefinition, columns: Sequence[SourceColumn]) -> Iterator[str]:
    totaled = {column.name for column in definition.columns if column.total}
    expressions = {
        measure.of for summary in definition.summaries for measure in summary.measures.values() if measure.of
    }
    measured = {name for of in expressions for name in parse_expression(of).meta.root_names()}
    for column in columns:
        if not column.pg_type.startswith("numeric") or numeric_scale(column.pg_type) is not None:
            continue
        cast = f"cast it in the query, for example {column.name}::numeric(18,2)"
        if column.name in totaled:
            yield f"{column.name} has a total but is numeric without a scale: {cast} to get numeric cells in Excel"
        elif column.name in measured:
            yield f"{column.name} is aggregated but is numeric without a scale: {cast}; otherwise it keeps 18 decimals"
