"""A change to a generated column's expression makes every stored partition stale."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.postgres.tracking.installation import track
from quire.report.definition import ReportDefinition

from tests.postgres.tracking.tables import PARTITIONED, ask, run_sql, stale, tokens, tracked_report

pytestmark = pytest.mark.server

MONTHS = ["2013-01", "2013-02", "2013-03"]


@pytest.fixture
def tracked(tmp_path: Path, fresh_database: str) -> ReportDefinition:
    """A report on a tracked, partitioned events table with a stored and a virtual generated column."""
    run_sql(
        fresh_database,
        PARTITIONED.format(kind="timestamptz"),
        "ALTER TABLE events ADD twice integer GENERATED ALWAYS AS (id * 2) STORED",
        "ALTER TABLE events ADD thrice integer GENERATED ALWAYS AS (id * 3) VIRTUAL",
    )
    definition = tracked_report(tmp_path)
    track(definition, fresh_database)
    return definition


@pytest.mark.parametrize(("column", "table"), [("twice", "events"), ("thrice", "events"), ("twice", "events_old")])
def test_replaced_generated_expression_makes_all_partitions_stale(
    tracked: ReportDefinition, fresh_database: str, column: str, table: str
) -> None:
    before = tokens(tracked, fresh_database)
    run_sql(fresh_database, f"ALTER TABLE {table} ALTER COLUMN {column} SET EXPRESSION AS (id * 10)")
    assert (10,) in ask(fresh_database, f"SELECT {column} FROM events")
    assert stale(before, tokens(tracked, fresh_database)) == MONTHS


def test_generated_expression_copied_per_partition_makes_all_stale(
    tracked: ReportDefinition, fresh_database: str
) -> None:
    leaves = (
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhrelid NOT IN (SELECT inhparent FROM pg_inherits)"
    )
    partitions = [name for (name,) in ask(fresh_database, leaves)]
    assert len(partitions) > 1
    for partition in partitions:
        before = tokens(tracked, fresh_database)
        run_sql(fresh_database, f"ALTER TABLE {partition} ALTER COLUMN twice SET EXPRESSION AS (id * 10)")
        assert stale(before, tokens(tracked, fresh_database)) == MONTHS, partition


def test_new_partition_with_same_expressions_keeps_others_fresh(tracked: ReportDefinition, fresh_database: str) -> None:
    before = tokens(tracked, fresh_database)
    run_sql(
        fresh_database,
        "CREATE TABLE events_later PARTITION OF events FOR VALUES FROM ('2013-09-01') TO ('2014-01-01')",
        "ALTER TABLE events ALTER COLUMN note SET DEFAULT 'none'",
    )
    track(tracked, fresh_database)
    assert stale(before, tokens(tracked, fresh_database)) == []
