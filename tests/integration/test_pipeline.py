"""Runs the full pipeline on the flights from 2013; checks rows and sums, and rules out partial results."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.object_store.s3_store import S3Store
from quire.pipeline import PipelineResult, run_report
from quire.record_types.manifest import manifest_key
from quire.report.definition import ReportDefinition
from quire.runs.verify import verify_run
from quire.settings import CLONE

from tests.events import ROWS, events_report, fill_events, request_of, session_of
from tests.workbooks import open_workbook, sheet_rows

pytestmark = pytest.mark.server

ZONE = "America/New_York"
SUMMARY = "events_2013-01-01_2013-03-31_summary.xlsx"


def run(
    definition: ReportDefinition, url: str, store: S3Store, start: str, end: str, *, run_id: str | None = None
) -> PipelineResult:
    request = request_of(definition, start, end, run_id=run_id)
    return run_report(definition, request, session=session_of(url, timezone=definition.timezone), store=store)


def ask(url: str, sql: str) -> Sequence[Sequence[Any]]:
    """Runs a query in the report's time zone, and returns PostgreSQL's result."""
    with psycopg.connect(url, options=f"-c timezone={ZONE}") as connection:
        return connection.execute(sql).fetchall()


def test_march_with_a_23_hour_day_has_every_cell_of_the_database(
    flights: ReportDefinition, flights_url: str, bucket: S3Store
) -> None:
    outcome = run(flights, flights_url, bucket, "2013-03-01", "2013-03-31")
    workbook = open_workbook(bucket, outcome.published.manifest.files[0].key)
    header, *rows = sheet_rows(workbook, flights.title)
    rows = [row for row in rows if isinstance(row[0], dt.datetime)]
    expected = ask(
        flights_url,
        "SELECT (time_hour + make_interval(mins => minute))::timestamp, carrier, flight, tailnum, dep_delay, distance, "
        "dep_time IS NULL FROM flights WHERE time_hour >= '2013-03-01' AND time_hour < '2013-04-01' "
        "ORDER BY 1, 2, 3, origin",
    )
    places = [header.index(title) for title in (
        "Scheduled", "Code", "Flight", "Aircraft", "Departure delay (min)", "Miles", "Cancelled",
    )]  # fmt: skip
    cells = [[row[place] for place in places] for row in rows]
    assert len(cells) == len(expected) == 28_834
    assert cells == [["" if value is None else value for value in row] for row in expected]


def test_empty_date_range_publishes_a_valid_empty_report(
    flights: ReportDefinition, flights_url: str, bucket: S3Store
) -> None:
    manifest = run(flights, flights_url, bucket, "2012-02-01", "2012-02-29").published.manifest
    names = ["flights_2012-02.xlsx", "flights_2012-02_summary.xlsx"]
    assert (manifest.rows, [file.name for file in manifest.files]) == (0, names)
    header = sheet_rows(open_workbook(bucket, manifest.files[0].key), flights.title)[0]
    assert header[:3] == ["Scheduled", "Departed", "Code"]
    assert "By airline" in open_workbook(bucket, manifest.files[1].key).sheet_names
    assert verify_run(manifest.run, store=bucket).problems == ()


def test_parameter_reaches_the_query(flights: ReportDefinition, flights_url: str, bucket: S3Store) -> None:
    from quire.report.request import request_from_dates

    request = request_from_dates(
        flights, start="2013-01-01", end="2013-01-31", parameters={"carrier": "HA"}, run_id=uuid.uuid4().hex
    )
    outcome = run_report(flights, request, session=session_of(flights_url, timezone=ZONE), store=bucket)
    ((count,),) = ask(flights_url, "SELECT count(*) FROM flights WHERE carrier = 'HA' AND month = 1")
    assert outcome.published.manifest.rows == count == 31


@pytest.mark.parametrize(
    ("workbook", "names"),
    [
        ({"split": "none"}, ["events_2013-01-01_2013-03-31.xlsx"]),
        ({"split": {"rows": 4}}, ["events_1.xlsx", "events_2.xlsx", SUMMARY]),
        ({"detail": False}, [SUMMARY]),
        (
            {"split": "none", "formats": ["csv", "parquet"]},
            ["events_2013-01-01_2013-03-31.csv", "events_2013-01-01_2013-03-31.parquet", SUMMARY],
        ),
    ],
)
def test_every_split_and_format_contains_every_row_once(
    tmp_path: Path, fresh_database: str, bucket: S3Store, workbook: dict[str, Any], names: list[str]
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, workbook=workbook)
    manifest = run(definition, fresh_database, bucket, "2013-01-01", "2013-03-31").published.manifest
    assert [file.name for file in manifest.files] == names
    assert verify_run(manifest.run, store=bucket).problems == ()
    numbers = []
    for file in manifest.files:
        if file.name.endswith(".xlsx") and file.name != SUMMARY:
            for row in sheet_rows(open_workbook(bucket, file.key), "Events")[1:]:
                numbers += [int(row[3])] if isinstance(row[3], float | int) else []
    has_workbooks = [name for name in names if name.endswith(".xlsx")] != [SUMMARY]
    assert numbers == ([row[0] for row in ROWS] if has_workbooks else [])


def test_single_workbook_has_about_summaries_and_rows(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, workbook={"split": "none"})
    manifest = run(definition, fresh_database, bucket, "2013-01-01", "2013-03-31").published.manifest
    assert open_workbook(bucket, manifest.files[0].key).sheet_names == ["About", "By kind", "Events"]


def test_csv_is_rfc_4180_with_a_byte_order_mark(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    rows = [
        *ROWS,
        (7, "2013-01-02 UTC", 'say "a, b"\r\nc', "1.50", None, ""),
        (8, "2013-01-03 UTC", "", None, None, None),
    ]
    fill_events(fresh_database, rows)
    definition = events_report(tmp_path, workbook={"formats": ["csv"]})
    manifest = run(definition, fresh_database, bucket, "2013-01-01", "2013-01-31").published.manifest
    body = bucket.read(manifest.files[0].key)
    assert body is not None
    assert body.decode("utf-8-sig") == (
        "When,Kind,Amount,Number\r\n"
        "2013-01-01 00:00:00-05,a,10.10,1\r\n"
        '2013-01-01 19:00:00-05,"say ""a, b""\r\nc",1.50,7\r\n'
        '2013-01-02 19:00:00-05,"",,8\r\n'
        "2013-01-31 23:59:59.999999-05,b,-0.05,2\r\n"
    )
    assert body.startswith(b"\xef\xbb\xbf")


def test_repeated_run_returns_the_published_one(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path)
    first = run(definition, fresh_database, bucket, "2013-01-01", "2013-03-31", run_id="r")
    keys = {entry.key for entry in bucket.list("reports/")}
    again = run(definition, fresh_database, bucket, "2013-01-01", "2013-03-31", run_id="r")
    assert (first.published.already_published, again.published.already_published) == (False, True)
    assert again.published.manifest == first.published.manifest
    assert {entry.key for entry in bucket.list("reports/")} == keys


def test_concurrent_writers_of_a_run_end_with_one_winner(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path)
    barrier = threading.Barrier(3)

    def write() -> PipelineResult:
        barrier.wait()
        return run(definition, fresh_database, bucket, "2013-01-01", "2013-03-31", run_id="the same")

    with ThreadPoolExecutor(3) as pool:
        outcomes = [future.result() for future in [pool.submit(write) for _ in range(3)]]
    manifests = [outcome.published.manifest for outcome in outcomes]
    assert manifests[0] == manifests[1] == manifests[2]
    assert sorted(outcome.published.already_published for outcome in outcomes) == [False, True, True]
    expected = {file.key for file in manifests[0].files} | {manifest_key("events", manifests[0].run)}
    assert {entry.key for entry in bucket.list("reports/")} == expected
    assert verify_run(manifests[0].run, store=bucket).problems == ()


KILLED = """
import os, signal, sys
from pathlib import Path
from quire.report.catalog import find_definition
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.settings import StoreSettings
from tests.events import request_of, session_of

include, url, uri, bucket, stage, fraction = sys.argv[1:]

def kill(name, done, total):
    if name == stage and done >= total * float(fraction):
        os.kill(os.getpid(), signal.SIGKILL)

definition = find_definition(Path(include), "events")
run_report(
    definition,
    request_of(definition, run_id="killed"),
    session=session_of(url),
    store=S3Store(StoreSettings.from_uri(uri, bucket=bucket)),
    progress=kill,
)
"""


@pytest.mark.parametrize(
    ("stage", "fraction"),
    [
        ("plan", 0),
        ("plan", 1),
        ("extract", 0),
        ("extract", 0.3),
        ("aggregate", 0),
        ("aggregate", 1),
        ("render", 0),
        ("render", 0.3),
        ("render", 1),
        ("publish", 0),
    ],
)
def test_run_killed_at_any_stage_leaves_no_manifest_and_can_be_repeated(
    tmp_path: Path, fresh_database: str, bucket: S3Store, store_connection: str, stage: str, fraction: float
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path)
    arguments = [str(tmp_path), fresh_database, store_connection, bucket.bucket, stage, str(fraction)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        env={**os.environ, "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not [entry.key for entry in bucket.list("") if entry.key.endswith("manifest.json")]
    published = run(definition, fresh_database, bucket, "2013-01-01", "2013-03-31", run_id="killed").published
    assert published.already_published is False
    assert published.manifest.rows == len(ROWS)
    assert verify_run(published.manifest.run, store=bucket).problems == ()
