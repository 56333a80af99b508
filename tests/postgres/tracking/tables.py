"""Helpers for tracked tables: a report, the freshness tokens, and the partitions that a change makes stale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from quire.date_range import DateRange
from quire.postgres import open_transaction
from quire.postgres.row_versions import version_tokens
from quire.postgres.tracking.tokens import tracked_tokens
from quire.report.definition import ReportDefinition

from tests.events import ZONE, events_report, session_of

EVENTS: Mapping[str, str] = {"name": "public.events", "time_column": "at"}
OBJECTS = """
SELECT 'relation', oid::regclass::text, relacl::text FROM pg_class WHERE relnamespace <> 'pg_toast'::regnamespace
UNION ALL SELECT 'function', oid::regprocedure::text, proacl::text FROM pg_proc
UNION ALL SELECT 'trigger', tgname, tgrelid::regclass::text FROM pg_trigger
UNION ALL SELECT 'schema', nspname, nspacl::text FROM pg_namespace
UNION ALL SELECT 'type', oid::regtype::text, NULL FROM pg_type
UNION ALL SELECT 'default', defaclrole::text, defaclacl::text FROM pg_default_acl
ORDER BY 1, 2, 3
"""
PARTITIONED = """
CREATE TABLE events (id integer, at {kind}, kind text, amount numeric(12,2), weight numeric, note text)
    PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2013-02-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2013-02-01') TO ('2013-09-01') PARTITION BY LIST (kind);
CREATE TABLE events_new_a PARTITION OF events_new FOR VALUES IN ('a');
CREATE TABLE events_new_b PARTITION OF events_new DEFAULT;
INSERT INTO events VALUES (1, '2013-01-15 12:00', 'a'), (2, '2013-02-15 12:00', 'a'), (3, '2013-03-15 12:00', 'b');
"""


def run_sql(url: str, *statements: str) -> None:
    """Executes each statement in a separate transaction."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()


def tracked_report(
    include: Path, *, tables: Sequence[Any] = (EVENTS,), freshness: str = "tracked", **changes: Any
) -> ReportDefinition:
    """Returns the events report with ``freshness: tracked`` or another value."""
    source = {"freshness": freshness, "tables": list(tables), **changes.pop("source", {})}
    return events_report(include, source=source, **changes)


def tokens(
    definition: ReportDefinition, url: str, start: str = "2013-01-01", end: str = "2013-03-31", *, zone: str = ZONE
) -> dict[str, str]:
    """Returns the freshness token for each partition in a date range, by partition key."""
    partitions = DateRange.parse(start, end, zone).partitions(definition.partition)
    read_tokens = version_tokens if definition.source.freshness == "versions" else tracked_tokens
    with open_transaction(session_of(url, timezone=zone)) as transaction:
        return read_tokens(definition, partitions, transaction=transaction)


def stale(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Returns the keys of partitions whose tokens have changed."""
    return [key for key, token in before.items() if token != after[key]]


def objects(url: str) -> list[tuple[Any, ...]]:
    """Returns all objects in a database, with their privileges."""
    return ask(url, OBJECTS)
