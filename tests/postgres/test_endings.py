"""If a task that reads rows fails or is killed, its query ends within two seconds and its rows are discarded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.errors import QueryError, SourceUnavailableError, StoreUnavailableError, TerminalError, TransientError
from quire.object_store.s3_store import S3Store
from quire.postgres import open_transaction
from quire.settings import CLONE
from quire.stages.extract import extract_partitions
from quire.stages.plan import plan_partitions

from tests.events import events_report, fill_events, request_of, session_of
from tests.polling import wait_until

pytestmark = pytest.mark.server

SECONDS = 2.0
# SILENT sends no rows for minutes; SENDING sends rows for minutes.
SILENT = "SELECT id, at, kind, amount, weight, note FROM events, (SELECT pg_sleep(600)) s"
SENDING = (
    "SELECT n AS id, %(start)s + n * interval '1 ms' AS at, md5(n::text) AS kind, 1::numeric(12,2) AS amount, "
    "NULL::numeric AS weight, repeat(md5(n::text), 20) AS note "
    "FROM (SELECT generate_series(1, 100000000) AS n) AS numbers"  # streams; in FROM, PostgreSQL would store all first
)
RANGE = " WHERE %(start)s < %(end)s\n"

TASK = """
import sys
from pathlib import Path
from quire.report.catalog import find_definition
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.settings import StoreSettings
from tests.events import request_of, session_of

include, url, uri, bucket = sys.argv[1:]
definition = find_definition(Path(include), "events")
run_report(
    definition, request_of(definition, "2013-01-01", "2013-01-31"), session=session_of(url),
    store=S3Store(StoreSettings.from_uri(uri, bucket=bucket)),
)
"""


def queries(url: str, *, condition: str = "true") -> list[tuple[int, str]]:
    """Returns the extract queries that PostgreSQL is executing and that satisfy a condition on pg_stat_activity."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT pid, application_name FROM pg_stat_activity WHERE datname = current_database() "
            f"AND state = 'active' AND application_name LIKE 'quire events 2%' AND {condition}"
        ).fetchall()


def wait_for_query(url: str) -> None:
    """Waits until an extract query sleeps, or has produced more rows than its client has read."""
    wait_until(lambda: queries(url, condition="wait_event IN ('PgSleep', 'ClientWrite')"))


@pytest.fixture(params=["silent", "sending"])
def sql(request: pytest.FixtureRequest) -> str:
    return (SILENT if request.param == "silent" else SENDING) + RANGE


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_task_ends_its_query(
    tmp_path: Path, fresh_database: str, bucket: S3Store, store_connection: str, sql: str, how: signal.Signals
) -> None:
    fill_events(fresh_database)
    events_report(tmp_path, sql=sql)
    process = subprocess.Popen(
        [sys.executable, "-c", TASK, str(tmp_path), fresh_database, store_connection, bucket.bucket],
        env={**os.environ, "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}"},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_query(fresh_database)
        ((_, name),) = queries(fresh_database)
        assert name == "quire events 2013-01"
        process.send_signal(how)
        wait_until(lambda: not queries(fresh_database), seconds=SECONDS)
    finally:
        process.kill()
        process.wait()
    assert not [entry.key for entry in bucket.list("") if entry.key.endswith(".json")]


def terminate_backend(url: str) -> None:
    """Terminates the extract's PostgreSQL backend, as an administrator could."""
    wait_for_query(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for pid, _ in queries(url):
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])


def test_terminated_backend_raises_transient_error(
    tmp_path: Path, fresh_database: str, bucket: S3Store, sql: str
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, sql=sql)
    thread = threading.Thread(target=terminate_backend, args=[fresh_database])
    thread.start()
    with pytest.raises(SourceUnavailableError) as caught:
        extract(tmp_path, fresh_database, bucket)
    thread.join()
    assert isinstance(caught.value, TransientError)
    assert "\n" not in str(caught.value)
    assert (caught.value.report, caught.value.partition) == (definition.name, "2013-01")
    assert [entry.key for entry in bucket.list("")] == []


def test_statement_timeout_raises_terminal_error(
    tmp_path: Path, fresh_database: str, bucket: S3Store, sql: str
) -> None:
    fill_events(fresh_database)
    events_report(tmp_path, sql=sql)
    with pytest.raises(QueryError, match=r"timeout\. Raise source\.timeout") as caught:
        extract(tmp_path, fresh_database, bucket, seconds=1)
    assert isinstance(caught.value, TerminalError)
    wait_until(lambda: not queries(fresh_database), seconds=SECONDS)
    assert [entry.key for entry in bucket.list("")] == []


def test_aborted_upload_ends_the_query(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    fill_events(fresh_database)
    events_report(tmp_path, sql=SENDING + RANGE)

    def uploads() -> list[Any]:
        return list(bucket.client.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads", []))

    def abort_uploads() -> None:
        wait_until(uploads)
        for upload in uploads():
            bucket.client.abort_multipart_upload(Bucket=bucket.bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    thread = threading.Thread(target=abort_uploads)
    thread.start()
    with pytest.raises(StoreUnavailableError, match="was aborted by another process") as caught:
        extract(tmp_path, fresh_database, bucket)
    thread.join()
    wait_until(lambda: not queries(fresh_database), seconds=SECONDS)
    # until here, the reference to the error keeps the traceback's frames alive
    assert caught.value.partition == "2013-01"
    assert [entry.key for entry in bucket.list("")] == []


def extract(include: Path, url: str, store: S3Store, *, seconds: float = 60) -> None:
    from quire.report.catalog import find_definition

    definition = find_definition(include, "events")
    session = session_of(url, seconds=seconds)
    request = request_of(definition, "2013-01-01", "2013-01-31")
    planned = plan_partitions(definition, request, session=session, store=store)
    extract_partitions(definition, planned.plan, planned.groups[0], session=session, store=store)


def test_application_name_too_long_is_truncated(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database), name="quire " + "x" * 100) as transaction:
        (row,) = transaction.fetch("SELECT current_setting('application_name') AS name")
    assert row == {"name": "quire " + "x" * 57}
