"""Computes freshness tokens.

A token is a digest that identifies a partition's rows. A cached partition is valid while its token matches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from quire.date_range import DatePartition
from quire.postgres import SourceTransaction
from quire.postgres.arrow_types import quote_identifier
from quire.postgres.partition_query import bound_query
from quire.postgres.row_versions import version_tokens, versioned_tables
from quire.postgres.table_rewrites import ensure_tables_not_rewritten
from quire.postgres.tracking.tokens import tracked_tokens
from quire.record_types.serialization import digest
from quire.record_types.stage_records import SourceColumn, StagedPartition
from quire.report.definition import Probe, ReportDefinition
from quire.report.request import RunRequest

MICROSECONDS = 1_000_000
FIRST_TOKENS = {"tracked": 8}  # reading the change log takes about as long for 8 partitions as for 1


def freshness_tokens(
    definition: ReportDefinition,
    request: RunRequest,
    partitions: Sequence[DatePartition],
    *,
    columns: Sequence[SourceColumn],
    transaction: SourceTransaction,
) -> dict[str, str]:
    """Returns the partitions' freshness tokens, by partition key, as of the transaction's snapshot.

    With ``--force`` or ``freshness: always``, tokens include the run. A retried task therefore reuses the partitions of
    its previous attempt, while a new run reads all rows again.

    Args:
        definition: the report.
        request: the run request.
        partitions: contiguous partitions, in order.
        columns: the query's columns.
        transaction: the transaction whose snapshot determines the rows.

    Raises:
        NotTrackedError: the report has ``freshness: tracked``, but a table is not tracked.
        QueryError, SourceUnavailableError: PostgreSQL rejects the query or is unreachable.
    """
    run = ("always", request.run_id, request.made_at)
    forced = () if is_reusable(definition, request) else run
    freshness = definition.source.freshness
    if freshness == "always":
        return {partition.key: digest(*run) for partition in partitions}
    if isinstance(freshness, Probe):
        states = _probe(
            definition, request, partitions, columns=columns, transaction=transaction, probe_column=freshness.probe
        )
        tokens = {
            partition.key: digest("probe", freshness.probe, states.get(number, (0, 0, 0)))
            for number, partition in enumerate(partitions, start=1)
        }
    else:
        read_tokens = tracked_tokens if freshness == "tracked" else version_tokens
        tokens = read_tokens(definition, partitions, transaction=transaction)
    if freshness != "tracked":  # a table that has just been emptied would have the token of a table without rows
        ensure_consistent_read(definition, transaction=transaction)
    return {key: digest(token, *forced) if forced else token for key, token in tokens.items()}


def freshness_token_reader(
    definition: ReportDefinition,
    request: RunRequest,
    partitions: Sequence[DatePartition],
    *,
    columns: Sequence[SourceColumn],
    transaction: SourceTransaction,
) -> Callable[[DatePartition], str]:
    """Returns a function that reads a partition's freshness token in the transaction's snapshot.

    Tokens from the change log or from row versions are read in batches that double in size. The first batch is small,
    because the snapshot may expire before the last partition is read. A probe reads a partition's rows, so it runs only
    when that partition's token is needed.

    Args:
        definition: the report.
        request: the run request.
        partitions: the partitions, in order; gaps are allowed.
        columns: the query's columns.
        transaction: the transaction whose snapshot determines the rows.

    Raises:
        NotTrackedError: the report has ``freshness: tracked``, but a table is not tracked.
        QueryError, SourceUnavailableError: PostgreSQL rejects the query or is unreachable.
    """
    if isinstance(definition.source.freshness, Probe):

        def probe(partition: DatePartition) -> str:
            (token,) = freshness_tokens(
                definition, request, [partition], columns=columns, transaction=transaction
            ).values()
            return token

        return probe
    tokens, first = dict[str, str](), FIRST_TOKENS.get(definition.source.freshness, 1)

    def read(partition: DatePartition) -> str:
        while partition.key not in tokens and len(tokens) < len(partitions):
            following = partitions[len(tokens) : len(tokens) + max(first, len(tokens))]
            tokens.update(freshness_tokens(definition, request, following, columns=columns, transaction=transaction))
        return tokens[partition.key]

    return read


def detects_changes(definition: ReportDefinition) -> bool:
    """Returns whether freshness tokens detect changed rows, which they do not with ``freshness: always``."""
    return definition.source.freshness != "always"


def is_reusable(definition: ReportDefinition, request: RunRequest) -> bool:
    """Returns whether other runs may reuse the partitions that this run caches."""
    return detects_changes(definition) and not request.force


def ensure_changes_detectable(
    definition: ReportDefinition, partition: DatePartition, *, transaction: SourceTransaction
) -> None:
    """Checks that changes to a report's tables can be detected, without reading any rows.

    Raises:
        DefinitionError: the report has ``freshness: versions``, but a table's rows have no versions.
        NotTrackedError: the report has ``freshness: tracked``, but a trigger is missing or disabled on a table or one
            of its partitions.
    """
    if definition.source.freshness == "tracked":
        tracked_tokens(definition, [partition], transaction=transaction)
    elif definition.source.freshness == "versions":
        versioned_tables(definition, transaction=transaction)


def ensure_consistent_read(definition: ReportDefinition, *, transaction: SourceTransaction) -> None:
    """Checks after a read that the rows are those of the transaction's snapshot, if the report lists its tables.

    Raises:
        SourceUnavailableError: a table was truncated or rewritten after the snapshot was taken, but before the rows
            were read.
    """
    if definition.source.tables:
        ensure_tables_not_rewritten(definition.source.tables, transaction=transaction)


def changed_partitions(
    definition: ReportDefinition,
    request: RunRequest,
    staged: Sequence[StagedPartition],
    *,
    columns: Sequence[SourceColumn],
    transaction: SourceTransaction,
) -> tuple[str, ...]:
    """Returns the keys of the partitions whose rows have changed since they were read."""
    partitions = [
        DatePartition(key=part.key, start=part.start, stop=part.stop, timezone=definition.timezone) for part in staged
    ]
    tokens = freshness_tokens(definition, request, partitions, columns=columns, transaction=transaction)
    return tuple(part.key for part in staged if part.freshness_token != tokens[part.key])


def _probe(
    definition: ReportDefinition,
    request: RunRequest,
    partitions: Sequence[DatePartition],
    *,
    columns: Sequence[SourceColumn],
    transaction: SourceTransaction,
    probe_column: str,
) -> dict[int, tuple[Any, ...]]:
    """Returns, for each partition (numbered from 1), the row count and a column's value count and sum."""
    complete_range = DatePartition(
        key="all", start=partitions[0].start, stop=partitions[-1].stop, timezone=partitions[0].timezone
    )
    types = {column.name: column.pg_type for column in columns}
    time_column, probe = definition.source.time_column, quote_identifier(probe_column)
    bounds = ", ".join(f"'{_bound(partition, types[time_column])}'" for partition in partitions)
    is_number = types[probe_column].startswith(("int", "numeric"))
    seconds = f"extract(epoch FROM {probe})"  # extract is SQL syntax, so it always calls PostgreSQL's own function
    number = probe if is_number else f"{seconds} OPERATOR(pg_catalog.*) {MICROSECONDS}::pg_catalog.numeric"
    # This query uses the report's search_path, so every name is schema-qualified.
    query = bound_query(definition, request, complete_range).within(
        f"SELECT pg_catalog.width_bucket({quote_identifier(time_column)}, "  # noqa: S608
        f"ARRAY[{bounds}]::pg_catalog.{types[time_column]}[]) "
        f"AS number, pg_catalog.count(*) AS rows, pg_catalog.count({probe}) AS present, "
        f"coalesce(pg_catalog.sum({number}), 0)::pg_catalog.text AS total FROM (\n",
        f") AS report WHERE {quote_identifier(time_column)} IS NOT NULL GROUP BY 1",
    )
    rows = transaction.fetch(query)
    return {row["number"]: (row["rows"], row["present"], row["total"]) for row in rows}


def _bound(partition: DatePartition, pg_type: str) -> str:
    return partition.starts_at.isoformat() if pg_type == "timestamptz" else partition.start.isoformat()
