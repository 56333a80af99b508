"""Tokens: is a stored partition still true? A stored partition counts under the token of the rows it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quire.artifacts import RunRequest, SourceColumn, StagedPartition, digest
from quire.calendar_range import DatePartition
from quire.definition import Probe, ReportDefinition
from quire.query import bound_query
from quire.source import SourceTransaction
from quire.source.arrow_types import quoted

MICROSECONDS = 1_000_000


def partition_tokens(
    definition: ReportDefinition,
    request: RunRequest,
    partitions: Sequence[DatePartition],
    columns: Sequence[SourceColumn],
    *,
    transaction: SourceTransaction,
) -> dict[str, str]:
    """Returns each partition's token by its key: that of the rows which the transaction sees.

    ``--force`` and ``freshness: always`` put the run into it: a task that is tried again finds what its earlier
    attempt stored, a run that is planned again reads anew.

    Args:
        definition: the report.
        request: of the run.
        partitions: without a gap, in order.
        columns: of the query.
        transaction: whose snapshot the rows are read in.

    Raises:
        QueryError, SourceUnavailableError: PostgreSQL refuses the question, or is away.
    """
    run = ("always", request.run_id, request.made_at)
    freshness = definition.source.freshness
    if not isinstance(freshness, Probe):
        return {partition.key: digest(*run) for partition in partitions}
    seen = _probed(definition, request, partitions, columns, transaction=transaction, column=freshness.probe)
    forced = () if outlives_run(definition, request) else run
    return {
        partition.key: digest("probe", freshness.probe, seen.get(number, (0, 0, 0)), *forced)
        for number, partition in enumerate(partitions, start=1)
    }


def is_watched(definition: ReportDefinition) -> bool:
    """Whether tokens tell that rows changed; those of ``always`` tell nothing."""
    return isinstance(definition.source.freshness, Probe)


def outlives_run(definition: ReportDefinition, request: RunRequest) -> bool:
    """Whether another run may use what is stored under the tokens of this one."""
    return is_watched(definition) and not request.force


def changed_since_read(
    definition: ReportDefinition,
    request: RunRequest,
    staged: Sequence[StagedPartition],
    columns: Sequence[SourceColumn],
    *,
    transaction: SourceTransaction,
) -> tuple[str, ...]:
    """Returns the keys of the partitions whose rows are not what they were when they were read."""
    partitions = [
        DatePartition(key=part.key, start=part.start, stop=part.stop, timezone=definition.timezone) for part in staged
    ]
    tokens = partition_tokens(definition, request, partitions, columns, transaction=transaction)
    return tuple(part.key for part in staged if part.token != tokens[part.key])


def _probed(
    definition: ReportDefinition,
    request: RunRequest,
    partitions: Sequence[DatePartition],
    columns: Sequence[SourceColumn],
    *,
    transaction: SourceTransaction,
    column: str,
) -> dict[int, tuple[Any, ...]]:
    """Returns rows, values and sum of a column by partition, counted from 1: one query, over the whole range."""
    whole = DatePartition(
        key="all", start=partitions[0].start, stop=partitions[-1].stop, timezone=partitions[0].timezone
    )
    kinds = {found.name: found.pg_type for found in columns}
    time_column, probe = definition.source.time_column, quoted(column)
    bounds = ", ".join(f"'{_bound(partition, kinds[time_column])}'" for partition in partitions)
    number = probe if kinds[column].startswith(("int", "numeric")) else f"extract(epoch FROM {probe}) * {MICROSECONDS}"
    rows = transaction.fetch(
        f"SELECT width_bucket({quoted(time_column)}, ARRAY[{bounds}]::{kinds[time_column]}[]) AS number, "  # noqa: S608
        f"count(*) AS rows, count({probe}) AS told, coalesce(sum({number}), 0)::text AS total "
        f"FROM (\n{bound_query(definition, request, whole)}) AS report "
        f"WHERE {quoted(time_column)} IS NOT NULL GROUP BY 1"
    )
    return {row["number"]: (row["rows"], row["told"], row["total"]) for row in rows}


def _bound(partition: DatePartition, pg_type: str) -> str:
    return partition.start_instant.isoformat() if pg_type == "timestamptz" else partition.start.isoformat()
