"""Installing and removing tracking are atomic and idempotent; removal leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from quire.errors import NotTrackedError, SourceUnavailableError
from quire.postgres.tracking.installation import compact, track, untrack

from tests.events import fill_events
from tests.postgres.tracking.tables import EVENTS, PARTITIONED, ask, objects, run_sql, stale, tokens, tracked_report

pytestmark = pytest.mark.server


@pytest.fixture
def database(fresh_database: str) -> str:
    run_sql(fresh_database, PARTITIONED.format(kind="timestamptz"), "CREATE TABLE kinds (kind text, name text)")
    return fresh_database


def test_untrack_removes_every_object(tmp_path: Path, database: str) -> None:
    before = objects(database)
    definition = tracked_report(tmp_path, tables=[EVENTS, "kinds"])
    assert track(definition, database) == ("public.events: tracked by at", "kinds: tracked as a whole")
    run_sql(database, "UPDATE events SET amount = 7", "INSERT INTO kinds VALUES ('a', 'A')")
    assert objects(database) != before
    assert sorted(untrack(definition.name, database)) == [
        "public.events: no longer tracked",
        "public.kinds: no longer tracked",
    ]
    assert objects(database) == before
    assert (untrack(definition.name, database), compact(database)) == ((), 0)


def test_untrack_keeps_table_of_another_report(tmp_path: Path, database: str) -> None:
    before = objects(database)
    first = tracked_report(tmp_path, tables=[EVENTS, "kinds"])
    second = first.model_copy(update={"name": "second", "source": tracked_report(tmp_path).source})
    track(first, database)
    track(second, database)
    expected = tokens(second, database)
    assert sorted(untrack(first.name, database)) == [
        "public.events: still tracked for another report",
        "public.kinds: no longer tracked",
    ]
    assert tokens(second, database) == expected
    with pytest.raises(NotTrackedError, match=r"changes to kinds are not tracked\. Run `quire track events`"):
        tokens(first, database)
    untrack(second.name, database)
    assert objects(database) == before


def test_track_again_releases_tables_removed_from_definition(tmp_path: Path, database: str) -> None:
    track(tracked_report(tmp_path, tables=["events", "kinds"]), database)
    definition = tracked_report(tmp_path)
    track(definition, database)
    triggers = ask(database, "SELECT tgrelid::regclass::text, count(*) FROM pg_trigger GROUP BY 1 ORDER BY 1")
    assert triggers == [("events", 4), ("events_new", 4), ("events_new_a", 5), ("events_new_b", 5), ("events_old", 5)]
    untrack(definition.name, database)


def test_track_again_changes_nothing_and_waits_for_no_writer(tmp_path: Path, database: str) -> None:
    definition = tracked_report(tmp_path)
    track(definition, database)
    before = objects(database), tokens(definition, database)
    with psycopg.connect(database) as writer:
        writer.execute("UPDATE events SET amount = 7")
        assert track(definition, database) == ("public.events: already tracked by at",)
        writer.rollback()
    assert (objects(database), tokens(definition, database)) == before


def test_track_table_locked_too_long_raises(tmp_path: Path, database: str) -> None:
    before = objects(database)
    with psycopg.connect(database) as writer:
        writer.execute("UPDATE events SET amount = 7")
        with pytest.raises(SourceUnavailableError, match="the tables were in use for 1 s, so nothing was changed"):
            track(tracked_report(tmp_path), database, lock_seconds=1)
    assert objects(database) == before


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (
            "ALTER TABLE events DISABLE TRIGGER ALL",
            "changes to public.events are not tracked. Run `quire track events`",
        ),
        (
            "ALTER TABLE events_new_a DISABLE TRIGGER ALL",
            "are not tracked in its partition public.events_new_a. Run",
        ),
        (
            "ALTER TABLE events_new_a ENABLE TRIGGER ALL",
            "are not tracked in its partition public.events_new_a. Run",
        ),
        ("ALTER TABLE events_new DISABLE TRIGGER ALL", "are not tracked in its partition public.events_new. Run"),
        ("DROP SCHEMA quire CASCADE", "changes to public.events are not tracked. Run `quire track events`"),
        (
            "DELETE FROM quire.tracked_table",
            "are not tracked, or this role cannot read it. Run",
        ),
        (
            "CREATE TABLE events_next PARTITION OF events FOR VALUES FROM ('2013-09-01') TO ('2014-01-01')",
            "public.events are not tracked in its partition public.events_next. Run `quire track events`",
        ),
        (
            "ALTER TABLE events DETACH PARTITION events_old",
            "the partitions of public.events have changed since tracking was installed. Run",
        ),
        (
            "DROP TABLE events_new_b",
            "the partitions of public.events have changed since tracking was installed. Run `quire track",
        ),
        ("ALTER TABLE events RENAME TO happenings", "source.tables: table public.events does not exist"),
    ],
)
def test_tokens_with_incomplete_tracking_raise_until_tracked_again(
    tmp_path: Path, database: str, statement: str, reason: str
) -> None:
    definition = tracked_report(tmp_path)
    track(definition, database)
    before = tokens(definition, database)
    run_sql(database, statement)
    with pytest.raises(NotTrackedError) as caught:
        tokens(definition, database)
    assert reason in str(caught.value)
    if "does not exist" in reason:
        return
    track(definition, database)
    after = tokens(definition, database)
    assert stale(before, after) == ([] if "CREATE TABLE" in statement else list(before))
    run_sql(database, "DELETE FROM events_new_a")
    assert stale(after, tokens(definition, database)) == ["2013-02"]


def test_attached_partition_makes_months_of_its_rows_stale(tmp_path: Path, database: str) -> None:
    definition = tracked_report(tmp_path)
    track(definition, database)
    before = tokens(definition, database, end="2013-10-31")
    run_sql(
        database,
        "CREATE TABLE events_next (LIKE events); INSERT INTO events_next VALUES (9, '2013-10-02', 'a')",
        "ALTER TABLE events ATTACH PARTITION events_next FOR VALUES FROM ('2013-09-01') TO ('2014-01-01')",
    )
    assert track(definition, database) == ("public.events: tracked by at; new partitions: 1",)
    after = tokens(definition, database, end="2013-10-31")
    assert stale(before, after) == ["2013-10"]
    run_sql(database, "DELETE FROM events_next")
    assert stale(after, tokens(definition, database, end="2013-10-31")) == ["2013-10"]


def test_triggers_restored_for_one_report_make_others_stale(tmp_path: Path, database: str) -> None:
    report = tracked_report(tmp_path)
    other = tracked_report(tmp_path, tables=[EVENTS, {"name": "events_old", "time_column": "at"}]).model_copy(
        update={"name": "other"}
    )
    track(report, database)
    track(other, database)
    before = tokens(other, database)
    run_sql(database, "ALTER TABLE events_old DISABLE TRIGGER ALL; UPDATE events_old SET amount = 7")
    track(report, database)
    assert stale(before, tokens(other, database)) == list(before)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("ALTER TABLE single RENAME at TO moment", "time_column at does not exist"),
        (
            "ALTER TABLE single ALTER at TYPE timestamp",
            "the type of single.at was timestamp with time zone when tracking was installed",
        ),
        ("ALTER TABLE single ALTER at TYPE text", "time_column at is of type text. It must be a timestamptz,"),
        ("ALTER TABLE single DROP at", "time_column at does not exist"),
    ],
)
def test_changed_time_column_raises_without_failing_writes(
    tmp_path: Path, database: str, change: str, reason: str
) -> None:
    run_sql(database, "CREATE TABLE single (id integer, at timestamptz); INSERT INTO single VALUES (1, now())")
    definition = tracked_report(tmp_path, tables=[{"name": "single", "time_column": "at"}])
    track(definition, database)
    run_sql(database, change)
    with pytest.raises(NotTrackedError) as caught:
        tokens(definition, database)
    assert reason in str(caught.value)
    run_sql(database, "INSERT INTO single (id) VALUES (2); UPDATE single SET id = 3; DELETE FROM single")


def test_track_unusual_names_succeeds(tmp_path: Path, database: str) -> None:
    column = 'The "time" of it, ' + "x" * 45
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(SQL("CREATE TABLE {} ({} timestamptz)").format(Identifier("A table's"), Identifier(column)))
    definition = tracked_report(tmp_path, tables=[{"name": '"A table\'s"', "time_column": column}])
    track(definition, database)
    before = tokens(definition, database)
    run_sql(database, """INSERT INTO "A table's" VALUES ('2013-02-02')""")
    assert stale(before, tokens(definition, database)) == ["2013-02"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("no_such", "table no_such does not exist"),
        ("seen", "seen is a view, which cannot be tracked. List the underlying tables"),
        ("kept", "kept is a materialized view, which cannot be tracked. List"),
        ({"name": "kinds", "time_column": "when"}, "kinds: time_column when does not exist"),
        (
            {"name": "kinds", "time_column": "name"},
            "kinds: time_column name is of type text. It must be a timestamptz",
        ),
    ],
)
def test_track_untrackable_table_raises_and_installs_nothing(
    tmp_path: Path, database: str, table: Any, reason: str
) -> None:
    run_sql(database, "CREATE VIEW seen AS TABLE kinds; CREATE MATERIALIZED VIEW kept AS TABLE kinds")
    before = objects(database)
    with pytest.raises(NotTrackedError) as caught:
        track(tracked_report(tmp_path, tables=[EVENTS, table]), database)
    assert reason in str(caught.value)
    assert objects(database) == before


def test_recreated_table_raises_until_tracked_again(tmp_path: Path, fresh_database: str) -> None:
    fill_events(fresh_database)
    definition = tracked_report(tmp_path)
    track(definition, fresh_database)
    before = tokens(definition, fresh_database)
    fill_events(fresh_database)
    with pytest.raises(NotTrackedError):
        tokens(definition, fresh_database)
    track(definition, fresh_database)
    assert stale(before, tokens(definition, fresh_database)) == list(before)
    assert ask(fresh_database, "SELECT count(*) FROM quire.tracked_table") == [(1,)]
