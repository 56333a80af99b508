"""Tracking reads a new partition's existing rows only if reading them cannot execute another role's code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from quire.dev_stack.postgres_server import PostgresServer
from quire.postgres.tracking.installation import track

from tests.planted import ATTACKER, attacker_url
from tests.postgres.tracking.tables import ask, run_sql, stale, tokens, tracked_report
from tests.postgres.tracking.test_privileges import login

pytestmark = pytest.mark.server

TABLES = """
CREATE TABLE public.events (id int, at timestamptz, kind text, amount numeric(12,2), weight numeric, note text)
    PARTITION BY RANGE (at);
CREATE TABLE public.january PARTITION OF public.events FOR VALUES FROM ('2013-01-01') TO ('2013-02-01')
"""
NEW = "CREATE TABLE public.february PARTITION OF public.events FOR VALUES FROM ('2013-02-01') TO ('2013-03-01')"
TRACKER = "test_tracker"


@pytest.fixture
def tracker(postgres_server: PostgresServer, fresh_database: str) -> Iterator[str]:
    """The URL for a role that installs tracking; tests can grant it the table owner's role."""
    url = login(postgres_server, fresh_database, TRACKER)
    database = fresh_database.rpartition("/")[2]
    run_sql(fresh_database, f"GRANT CREATE ON DATABASE {database} TO {TRACKER}")
    yield url
    revoke = f"REVOKE {ATTACKER} FROM {TRACKER}"  # ATTACKER may not exist
    run_sql(
        fresh_database,
        f"DO $$ BEGIN {revoke}; EXCEPTION WHEN undefined_object THEN NULL; END $$",
        f"DROP OWNED BY {TRACKER} CASCADE",
    )


def test_track_new_partition_of_untrusted_owner_is_not_read(
    tmp_path: Path, postgres_server: PostgresServer, fresh_database: str, tracker: str
) -> None:
    attacker = attacker_url(postgres_server, fresh_database, creates_schemas=True)
    run_sql(fresh_database, f"GRANT {ATTACKER} TO {TRACKER}", "CREATE SEQUENCE public.runs")
    run_sql(fresh_database, "GRANT ALL ON SEQUENCE public.runs TO PUBLIC")
    run_sql(attacker, TABLES)
    report = tracked_report(tmp_path)
    track(report, tracker)
    before = tokens(report, fresh_database)
    run_sql(
        attacker,
        NEW,
        "INSERT INTO public.february (id, at) VALUES (1, '2013-02-02')",
        "CREATE FUNCTION public.spy() RETURNS bool LANGUAGE plpgsql AS "
        "'BEGIN PERFORM nextval(''public.runs''); RETURN true; END'",
        "ALTER TABLE public.february ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE public.february FORCE ROW LEVEL SECURITY",
        "CREATE POLICY spying ON public.february USING (public.spy())",
    )
    assert track(report, tracker) == ("public.events: tracked by at; new partitions: 1",)
    assert ask(fresh_database, "SELECT is_called FROM public.runs") == [(False,)]
    assert stale(before, tokens(report, fresh_database)) == list(before)


def test_track_empty_partition_of_untrusted_owner_makes_nothing_stale(
    tmp_path: Path, postgres_server: PostgresServer, fresh_database: str, tracker: str
) -> None:
    attacker = attacker_url(postgres_server, fresh_database, creates_schemas=True)
    run_sql(fresh_database, f"GRANT {ATTACKER} TO {TRACKER}")
    run_sql(attacker, TABLES)
    report = tracked_report(tmp_path)
    track(report, tracker)
    before = tokens(report, fresh_database)
    run_sql(attacker, NEW)
    track(report, tracker)
    assert stale(before, tokens(report, fresh_database)) == []


def test_track_new_partition_with_forced_row_security_makes_all_stale(
    tmp_path: Path, fresh_database: str, tracker: str
) -> None:
    run_sql(fresh_database, f"GRANT CREATE ON SCHEMA public TO {TRACKER}")
    run_sql(tracker, TABLES)
    report = tracked_report(tmp_path)
    track(report, tracker)
    before = tokens(report, fresh_database)
    run_sql(
        tracker,
        NEW,
        "INSERT INTO public.february (id, at) VALUES (1, '2013-02-02')",
        "ALTER TABLE public.february ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE public.february FORCE ROW LEVEL SECURITY",
    )
    assert track(report, tracker) == ("public.events: tracked by at; new partitions: 1",)
    assert stale(before, tokens(report, fresh_database)) == list(before)
