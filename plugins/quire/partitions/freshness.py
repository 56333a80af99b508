"""Tokens: is a stored partition still true? A stored partition counts under the token of the rows it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from quire.date_range import DatePartition
from quire.postgres import SourceTransaction
from quire.postgres.arrow_types import quoted
from quire.postgres.partition_query import bound_query
from quire.postgres.tracking.tokens import ensure_tables_not_rewritten, tracked_tokens
from quire.records.serialization import digest
from quire.records.stage_records import SourceColumn, StagedPartition
from quire.report.definition import Probe, ReportDefinition
from quire.report.request import RunRequest

MICROSECONDS = 1_000_000
MIN_TOKENS_AT_ONCE = 8  # from the change log: one query for them takes hardly longer than for one


def freshness_tokens(
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
        NotTrackedError: a table of ``freshness: tracked`` is not tracked.
        QueryError, SourceUnavailableError: PostgreSQL refuses the question, or is away.
    """
    run = ("always", request.run_id, request.made_at)
    forced = () if is_reusable(definition, request) else run
    freshness = definition.source.freshness
    if freshness == "always":
        return {partition.key: digest(*run) for partition in partitions}
    if freshness == "tracked":
        tokens = tracked_tokens(definition, partitions, transaction=transaction)
        return {key: digest(token, *forced) if forced else token for key, token in tokens.items()}
    seen = _probed(definition, request, partitions, columns, transaction=transaction, column=freshness.probe)
    return {
        partition.key: digest("probe", freshness.probe, seen.get(number, (0, 0, 0)), *forced)
        for number, partition in enumerate(partitions, start=1)
    }


def freshness_token_reader(
    definition: ReportDefinition,
    request: RunRequest,
    partitions: Sequence[DatePartition],
    columns: Sequence[SourceColumn],
    *,
    transaction: SourceTransaction,
) -> Callable[[DatePartition], str]:
    """Returns what gives the token of any of some partitions, in the transaction's snapshot.

    Those from the change log are read for several partitions at once: for the next few, and then for twice as many
    each time, because a snapshot may grow too old before it comes to the last of them. A probe reads a partition's
    rows, so it waits until that partition is asked for.

    Args:
        definition: the report.
        request: of the run.
        partitions: in order; there may be gaps.
        columns: of the query.
        transaction: whose snapshot the rows are read in.

    Raises:
        NotTrackedError: a table of ``freshness: tracked`` is not tracked.
        QueryError, SourceUnavailableError: PostgreSQL refuses the question, or is away.
    """
    if isinstance(definition.source.freshness, Probe):

        def probe(partition: DatePartition) -> str:
            (token,) = freshness_tokens(definition, request, [partition], columns, transaction=transaction).values()
            return token

        return probe
    tokens = dict[str, str]()

    def read(partition: DatePartition) -> str:
        while partition.key not in tokens and len(tokens) < len(partitions):
            following = partitions[len(tokens) : len(tokens) + max(MIN_TOKENS_AT_ONCE, len(tokens))]
            tokens.update(freshness_tokens(definition, request, following, columns, transaction=transaction))
        return tokens[partition.key]

    return read


def detects_changes(definition: ReportDefinition) -> bool:
    """Whether tokens tell that rows changed; those of ``always`` tell nothing."""
    return definition.source.freshness != "always"


def is_reusable(definition: ReportDefinition, request: RunRequest) -> bool:
    """Whether another run may use what is stored under the tokens of this one."""
    return detects_changes(definition) and not request.force


def ensure_tables_tracked(
    definition: ReportDefinition, partition: DatePartition, *, transaction: SourceTransaction
) -> None:
    """Refuses a report whose tables should be tracked and are not, before any task is spent on it.

    Raises:
        NotTrackedError: a trigger is missing or disabled, on a table or one of its partitions.
    """
    if definition.source.freshness == "tracked":
        tracked_tokens(definition, [partition], transaction=transaction)


def ensure_consistent_read(definition: ReportDefinition, *, transaction: SourceTransaction) -> None:
    """Called when a partition's rows were read: refuses them where the token does not tell what was read.

    Raises:
        SourceUnavailableError: a tracked table was emptied or rewritten between the token and the rows.
    """
    if definition.source.freshness == "tracked":
        ensure_tables_not_rewritten(definition, transaction=transaction)


def changed_partitions(
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
    tokens = freshness_tokens(definition, request, partitions, columns, transaction=transaction)
    return tuple(part.key for part in staged if part.freshness_token != tokens[part.key])


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
    is_number = kinds[column].startswith(("int", "numeric"))
    seconds = f"extract(epoch FROM {probe})"  # SQL's own syntax: always PostgreSQL's
    number = probe if is_number else f"{seconds} OPERATOR(pg_catalog.*) {MICROSECONDS}::pg_catalog.numeric"
    # The report's query decides the search_path here, so each name of ours has its schema.
    query = bound_query(definition, request, whole).within(
        f"SELECT pg_catalog.width_bucket({quoted(time_column)}, ARRAY[{bounds}]::pg_catalog.{kinds[time_column]}[]) "  # noqa: S608
        f"AS number, pg_catalog.count(*) AS rows, pg_catalog.count({probe}) AS told, "
        f"coalesce(pg_catalog.sum({number}), 0)::pg_catalog.text AS total FROM (\n",
        f") AS report WHERE {quoted(time_column)} IS NOT NULL GROUP BY 1",
    )
    rows = transaction.fetch(query)
    return {row["number"]: (row["rows"], row["told"], row["total"]) for row in rows}


def _bound(partition: DatePartition, pg_type: str) -> str:
    return partition.starts_at.isoformat() if pg_type == "timestamptz" else partition.start.isoformat()
