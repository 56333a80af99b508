"""Computes freshness tokens, which are digests of sums over the change log.

A partition's token and rows are read in the same snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

from quire.date_range import DatePartition
from quire.errors import NotTrackedError
from quire.postgres import SourceTransaction
from quire.postgres.source_tables import ZONED
from quire.postgres.time_segments import ALL_PARTITIONS, TimeSegments
from quire.postgres.tracking.inspection import TableState, inspect_tables
from quire.record_types.serialization import digest
from quire.report.definition import ReportDefinition
from quire.report.sql_literal import literal

HOUR = timedelta(hours=1)


def tracked_tokens(
    definition: ReportDefinition, partitions: Sequence[DatePartition], *, transaction: SourceTransaction
) -> dict[str, str]:
    """Returns each partition's freshness token, by partition key. Executes three queries.

    A token is a digest of three values for each table: the table's epoch, the sum of n over the partition's buckets and
    the records without a bucket, and the expressions of any generated columns. Every change that is visible to the
    transaction increases the sum, regardless of the commit order.

    Args:
        definition: the report, whose ``freshness`` must be ``tracked``.
        partitions: the partitions, in order.
        transaction: the transaction that reads the log, and whose snapshot determines the tokens.

    Raises:
        NotTrackedError: a table is not tracked, or lacks a trigger.
        QueryError: PostgreSQL rejected a statement.
        SourceUnavailableError: PostgreSQL cannot be reached.
    """
    states = ensure_tracked(definition, transaction=transaction)
    segments = {
        zoned: TimeSegments([_bounds(partition, zoned=zoned) for partition in partitions]) for zoned in (True, False)
    }
    rows = transaction.fetch_own(_sums_query(states, segments))
    epochs = [_epoch(definition, state, rows, position=position) for position, state in enumerate(states)]
    sums = {(row["position"], row["segment"]): int(row["total"]) for row in rows}

    def total(position: int, number: int) -> int:
        own_segments = segments[states[position].column_type == ZONED].of(number)
        return sum(sums.get((position, segment), 0) for segment in own_segments)

    return {
        partition.key: digest(
            "tracked",
            [
                [
                    state.table.name,
                    state.table.time_column,
                    epochs[position],
                    total(position, number),
                    *([state.generated] if state.generated else []),
                ]
                for position, state in enumerate(states)
            ],
        )
        for number, partition in enumerate(partitions)
    }


def ensure_tracked(definition: ReportDefinition, *, transaction: SourceTransaction) -> tuple[TableState, ...]:
    """Checks that each of the report's tables has all its triggers, and returns the tables' states.

    Raises:
        NotTrackedError: a trigger is missing or disabled on a table or one of its partitions, or the owner of the
            ``quire`` schema is not trusted.
    """
    states = inspect_tables(definition.source.tables, transaction=transaction)
    for state in states:
        if state.untrusted_owner:
            raise NotTrackedError(
                f"schema quire belongs to {state.untrusted_owner}, which does not own {state.table.name}. Ask an "
                "administrator to drop the schema or change its owner"
            )
    if incomplete := [state for state in states if state.incomplete]:
        names = ", ".join(state.table.name for state in incomplete)
        first = incomplete[0]
        is_table = len(incomplete) > 1 or first.relation in first.incomplete
        partition = "" if is_table else f" in its partition {next(iter(first.incomplete.values()))}"
        raise _not_tracked(definition, f"changes to {names} are not tracked{partition}")
    return states


def _epoch(definition: ReportDefinition, state: TableState, rows: Sequence[dict[str, Any]], *, position: int) -> str:
    ((epoch, nodes, column_type),) = {
        (row["epoch"], row["nodes"], row["column_type"]) for row in rows if row["position"] == position
    }
    name = state.table.name
    if epoch is None:
        raise _not_tracked(definition, f"changes to {name} are not tracked, or this role cannot read it")
    if tuple(sorted(map(int, nodes.split()))) != state.nodes:
        raise _not_tracked(definition, f"the partitions of {name} have changed since tracking was installed")
    if column_type != state.column_type:
        raise _not_tracked(
            definition, f"the type of {name}.{state.table.time_column} was {column_type} when tracking was installed"
        )
    return str(epoch)


def _not_tracked(definition: ReportDefinition, fact: str) -> NotTrackedError:
    return NotTrackedError(f"{fact}. Run `quire track {definition.name}`")


def _bounds(partition: DatePartition, *, zoned: bool) -> tuple[datetime, datetime]:
    """Returns the half-open range of a partition's hourly buckets, in UTC if ``zoned``, otherwise in local time.

    If the UTC offset is not a whole number of hours, adjacent partitions share a bucket.
    """
    if not zoned:
        return datetime.combine(partition.start, time()), datetime.combine(partition.stop, time())
    start, stop = (instant.replace(tzinfo=None) for instant in (partition.starts_at, partition.stops_at))
    floor = stop.replace(minute=0, second=0, microsecond=0)
    return start.replace(minute=0, second=0, microsecond=0), floor if floor == stop else floor + HOUR


def _sums_query(states: Sequence[TableState], segments: Mapping[bool, TimeSegments[datetime]]) -> str:
    wanted = ", ".join(
        f"({position}, {state.relation}::oid, {literal(state.table.time_column)}::name)"
        for position, state in enumerate(states)
    )
    sums = " UNION ALL ".join(
        query
        for position, state in enumerate(states)
        for query in _table_sums(position, state, segments[state.column_type == ZONED].edges)
    )
    return f"""
SELECT wanted.position, tracked.epoch::text AS epoch, array_to_string(tracked.nodes::oid[], ' ') AS nodes,
       format_type(tracked.column_type, NULL) AS column_type, change.segment, coalesce(change.total, 0)::text AS total
  FROM (VALUES {wanted}) AS wanted (position, relation, time_column)
  LEFT JOIN quire.readable_tables AS tracked
         ON tracked.relation = wanted.relation AND tracked.time_column IS NOT DISTINCT FROM wanted.time_column
  LEFT JOIN ({sums}) AS change (position, segment, total) ON change.position = wanted.position
"""  # noqa: S608 - its parts are numbers and quoted literals


def _table_sums(position: int, state: TableState, edges: Sequence[datetime]) -> tuple[str, str]:
    """Returns two queries: one sums a table's records without a bucket, the other sums the records in each segment.

    The operators in the conditions are leakproof, so PostgreSQL pushes the conditions down into the view and uses the
    log's index. The queries use the current nodes; if these differ from the tracked nodes, ``_epoch`` raises an error.
    """
    column = state.table.time_column
    same_column = "time_column IS NULL" if column is None else f"time_column = {literal(column)}::name"
    nodes = ", ".join(map(str, state.nodes))
    bounds = ", ".join(repr(edge.isoformat(sep=" ")) for edge in edges)
    log = f"FROM quire.readable_changes WHERE relation = ANY (ARRAY[{nodes}]::oid[]::regclass[]) AND {same_column}"
    return (
        f"SELECT {position}, {ALL_PARTITIONS}, sum(n) {log} AND bucket IS NULL",
        f"SELECT {position}, width_bucket(bucket, ARRAY[{bounds}]::timestamp[]), sum(n) {log} "
        f"AND bucket >= '{edges[0]}'::timestamp AND bucket < '{edges[-1]}'::timestamp GROUP BY 2",
    )
