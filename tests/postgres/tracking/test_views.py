"""Readers see the change log through views, which are replaced only if they are outdated."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from quire.postgres.tracking.installation import track

from tests.events import fill_events
from tests.postgres.tracking.tables import ask, run_sql, tracked_report

pytestmark = pytest.mark.server


def test_track_again_does_not_wait_for_view_readers(tmp_path: Path, fresh_database: str) -> None:
    fill_events(fresh_database)
    definition = tracked_report(tmp_path)
    track(definition, fresh_database)
    with psycopg.connect(fresh_database) as reader:
        reader.execute("SELECT count(*) FROM quire.readable_changes")
        reader.execute("SELECT count(*) FROM quire.readable_tables")
        assert track(definition, fresh_database) == ("public.events: already tracked by at",)


def test_track_again_replaces_outdated_view(tmp_path: Path, fresh_database: str) -> None:
    fill_events(fresh_database)
    definition = tracked_report(tmp_path)
    track(definition, fresh_database)
    expected = ask(fresh_database, "SELECT pg_get_viewdef('quire.readable_changes')")
    run_sql(
        fresh_database,
        "CREATE OR REPLACE VIEW quire.readable_changes AS "
        "SELECT relation, time_column, bucket, n FROM quire.change_log",
        "COMMENT ON VIEW quire.readable_changes IS NULL",
    )
    track(definition, fresh_database)
    assert ask(fresh_database, "SELECT pg_get_viewdef('quire.readable_changes')") == expected
    assert ask(fresh_database, "SELECT reloptions FROM pg_class WHERE relname = 'readable_changes'") == [
        (["security_barrier=true"],)
    ]
