"""Tests the commands ``quire track``, ``quire untrack`` and ``quire check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from quire.dev_stack.flights import READER, reader_role_statements
from quire.dev_stack.postgres_server import PostgresServer

from tests.cli.command import error_line, quire
from tests.events import events_report, fill_events
from tests.postgres.tracking.tables import EVENTS, run_sql, tracked_report

pytestmark = pytest.mark.server

RUN = ("run", "events", "--start", "2013-01-01", "--end", "2013-03-31", "--json")


@pytest.fixture
def environment(
    tmp_path: Path, postgres_server: PostgresServer, fresh_database: str, quire_environment: dict[str, str]
) -> dict[str, str]:
    """An environment with connections for a reader and an owner to a database with the events."""
    fill_events(fresh_database)
    run_sql(fresh_database, reader_role_statements(), f"ALTER ROLE {READER} PASSWORD 'reader'")
    tracked_report(tmp_path, tables=[EVENTS])
    return {
        **quire_environment,
        "AIRFLOW_CONN_QUIRE_SOURCE": postgres_server.url(
            fresh_database.rpartition("/")[2], user=READER, password="reader"
        ),
        "AIRFLOW_CONN_QUIRE_OWNER": fresh_database,
        "QUIRE_INCLUDE": str(tmp_path),
    }


def test_track_run_change_and_untrack_commands(environment: dict[str, str]) -> None:
    line = "quire: events: changes to public.events are not tracked. Run `quire track events`"
    assert error_line(environment, *RUN) == (1, line)
    done = quire(environment, "check", "events")
    probed = f"bucket {environment['QUIRE_BUCKET']}: conditional writes, range reads and multipart uploads work\n"
    assert (done.returncode, done.stderr.strip(), done.stdout) == (1, line, probed)
    done = quire(environment, "track", "events")
    assert (done.returncode, done.stdout, done.stderr) == (0, "public.events: tracked by at\n", "")
    assert quire(environment, "check", "events").returncode == 0
    assert [part["stored"] for part in json.loads(quire(environment, *RUN).stdout)["partitions"]] == [False] * 3
    run_sql(environment["AIRFLOW_CONN_QUIRE_OWNER"], "DELETE FROM events WHERE id = 3")
    outcome = json.loads(quire(environment, *RUN).stdout)
    assert [part["stored"] for part in outcome["partitions"]] == [True, False, True]
    assert json.loads(quire(environment, *RUN).stdout)["reused"] is True
    done = quire(environment, "untrack", "events")
    assert (done.returncode, done.stdout, done.stderr) == (0, "public.events: no longer tracked\n", "")
    assert quire(environment, "untrack", "events").stdout == "none of this report's tables was tracked\n"


def test_untrack_report_without_definition_succeeds(environment: dict[str, str]) -> None:
    assert quire(environment, "track", "events").returncode == 0
    (Path(environment["QUIRE_INCLUDE"]) / "reports" / "events.yaml").unlink()
    done = quire(environment, "untrack", "events")
    assert (done.returncode, done.stdout) == (0, "public.events: no longer tracked\n")
    assert "looking up its triggers through quire_owner instead" in done.stderr


def test_track_as_reader_fails_with_one_line(environment: dict[str, str]) -> None:
    del environment["AIRFLOW_CONN_QUIRE_OWNER"]
    status, line = error_line(environment, "track", "events")
    assert (status, "permission denied for database" in line) == (1, True)


def test_track_report_without_tracked_freshness_fails(environment: dict[str, str], tmp_path: Path) -> None:
    events_report(tmp_path)
    status, line = error_line(environment, "track", "events")
    assert (status, line) == (2, "quire: events: set source.freshness to tracked before installing change tracking")
