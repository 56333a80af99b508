"""``quire check`` reports untracked tables, and tables that a query reads but the definition does not list."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.cli.check import validate_query
from quire.errors import NotTrackedError
from quire.postgres.tracking.installation import track

from tests.events import TABLE, fill_events, session_of
from tests.postgres.tracking.tables import EVENTS, PARTITIONED, run_sql, tracked_report

pytestmark = pytest.mark.server

RANGE = "WHERE e.at >= %(start)s AND e.at < %(end)s"
COLUMNS = "e.id, e.at, e.kind, e.amount, e.weight, e.note"


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    run_sql(
        fresh_database,
        "CREATE TABLE kinds (kind text PRIMARY KEY, name text)",
        "CREATE VIEW named AS SELECT e.* FROM events AS e JOIN kinds USING (kind)",
        "CREATE VIEW named_again AS TABLE named",
    )
    return fresh_database


@pytest.mark.parametrize(
    ("source", "unlisted"),
    [
        ("public.events AS e", []),
        ("public.events AS e JOIN kinds USING (kind)", ["public.kinds"]),
        ("public.events AS e LEFT JOIN kinds USING (kind)", ["public.kinds"]),  # the plan omits it
        ("named_again AS e", ["public.kinds"]),
        (f"(SELECT {COLUMNS} FROM events AS e WHERE false AND EXISTS (SELECT FROM kinds)) AS e", ["public.kinds"]),
        ("(WITH k AS (SELECT 1 FROM kinds) SELECT e.* FROM events AS e, k) AS e", ["public.kinds"]),
        ("pg_class AS c, public.events AS e", []),
    ],
)
def test_check_unlisted_table_prints_warning(tmp_path: Path, database: str, source: str, unlisted: list[str]) -> None:
    definition = tracked_report(tmp_path, sql=f"SELECT {COLUMNS} FROM {source} {RANGE}")
    track(definition, database)
    advice = validate_query(definition, session=session_of(database))
    warning = "the query reads {}, which is not in source.tables: Quire will not detect its changes"
    assert [line for line in advice if "source.tables" in line] == [warning.format(name) for name in unlisted]


@pytest.mark.parametrize(
    ("tables", "source", "unlisted"),
    [
        ([EVENTS], "public.events AS e", []),
        ([EVENTS], "public.events_new_a AS e", []),
    ],
)
def test_check_partition_counts_as_its_table(
    tmp_path: Path, fresh_database: str, tables: list[dict[str, str]], source: str, unlisted: list[str]
) -> None:
    run_sql(fresh_database, PARTITIONED.format(kind="timestamptz"))
    definition = tracked_report(tmp_path, tables=tables, sql=f"SELECT {COLUMNS} FROM {source} {RANGE}")
    track(definition, fresh_database)
    advice = validate_query(definition, session=session_of(fresh_database))
    assert [line.split()[3].rstrip(",") for line in advice if "source.tables" in line] == unlisted


@pytest.mark.parametrize(
    ("statements", "name", "parent"),
    [
        (PARTITIONED.format(kind="timestamptz"), "events_new_a", "public.events_new"),
        (PARTITIONED.format(kind="timestamptz"), "public.events_new", "public.events"),
        (f"{TABLE}; CREATE TABLE late () INHERITS (events)", "late", "public.events"),
    ],
)
def test_track_child_without_its_parent_raises(
    tmp_path: Path, fresh_database: str, statements: str, name: str, parent: str
) -> None:
    run_sql(fresh_database, statements)
    definition = tracked_report(tmp_path, tables=[{"name": name, "time_column": "at"}])
    reason = (
        f"{name} is a child of {parent}, and writes to {parent} do not fire the child's triggers. List {parent} instead"
    )
    with pytest.raises(NotTrackedError, match=reason):
        track(definition, fresh_database)
    both = tracked_report(tmp_path, tables=[EVENTS, {"name": name, "time_column": "at"}])
    assert len(track(both, fresh_database)) == 2


def test_check_untracked_tables_raises_with_their_names(tmp_path: Path, database: str) -> None:
    definition = tracked_report(tmp_path, tables=[EVENTS, "kinds"])
    reason = r"^events: changes to public\.events, kinds are not tracked\. Run `quire track events`$"
    with pytest.raises(NotTrackedError, match=reason):
        validate_query(definition, session=session_of(database))


def test_check_untracked_report_skips_source_tables(tmp_path: Path, database: str) -> None:
    definition = tracked_report(tmp_path, source={"freshness": "always", "tables": []})
    assert not [line for line in validate_query(definition, session=session_of(database)) if "tables" in line]
