"""A run holds its lease while it is active, and releases the lease when it ends; a killed run's lease soon expires."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.errors import DamagedObjectError, ReportError, StoreUnavailableError
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.record_types.stage_records import TaskUsage
from quire.report.request import RunRequest
from quire.runs.leases import EXPIRES_AFTER, Lease, active_runs, hold_lease, lease_key, monotonic_seconds, release_lease
from quire.settings import CLONE

from tests.aggregated_runs import aggregate_run
from tests.events import events_report, fill_events, request_of, session_of

MINUTE = timedelta(minutes=1)
LATE = EXPIRES_AFTER + MINUTE


@pytest.fixture
def request_(tmp_path: Path) -> RunRequest:
    return request_of(events_report(tmp_path))


def leases(store: S3Store) -> list[str]:
    return [entry.key for entry in store.list("leases/")]


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, time: timedelta) -> None:
        self.seconds += time.total_seconds()


class AgingStore(S3Store):
    """Reports that objects are older than they really are."""

    older = timedelta()

    def age(self, key: str) -> timedelta | None:
        age = super().age(key)
        return None if age is None else age + self.older


def test_lease_is_held_while_the_run_is_active_and_then_released(request_: RunRequest, bucket: S3Store) -> None:
    with hold_lease(request_, store=bucket):
        (active,) = active_runs("events", store=bucket, now=datetime.now(UTC))
        assert active.run_id == request_.run_id
    assert leases(bucket) == []


def test_lease_of_a_task_remains_for_the_next_task(request_: RunRequest, bucket: S3Store) -> None:
    with hold_lease(request_, store=bucket, release=False):
        pass
    assert leases(bucket) == [lease_key("events", request_.run_id)]
    with hold_lease(request_, store=bucket, first=False, release=False) as lease:
        assert not lease.lapsed


def test_lease_is_renewed_by_a_thread(request_: RunRequest, bucket: S3Store) -> None:
    renewed = threading.Event()

    def count(**_: Any) -> None:
        renewed.set()

    with hold_lease(request_, store=bucket, every=timedelta(seconds=0.01)):
        bucket.delete(leases(bucket))
        bucket.client.meta.events.register("after-call.s3.PutObject", count)
        assert renewed.wait(30)
        assert leases(bucket)
    assert leases(bucket) == []


def test_lease_whose_renewal_fails_is_renewed_later(request_: RunRequest, bucket: S3Store) -> None:
    failures = [StoreUnavailableError("away"), StoreUnavailableError("away")]
    renewed = threading.Event()

    def fail(**_: Any) -> None:
        if failures:
            raise failures.pop()
        renewed.set()

    with hold_lease(request_, store=bucket, every=timedelta(seconds=0.01)) as lease:
        bucket.client.meta.events.register("before-call.s3.PutObject", fail)
        assert renewed.wait(30)
        assert not lease.lapsed


@pytest.mark.parametrize("older", [None, LATE])
def test_lease_lost_between_tasks_remains_lapsed(
    request_: RunRequest, bucket: S3Store, older: timedelta | None
) -> None:
    store = AgingStore(bucket.settings)
    Lease(request_, store=store)
    if older is None:
        store.delete(leases(store))
    else:
        store.older = older
    assert Lease(request_, store=store, first=False).lapsed
    store.older = timedelta()
    assert Lease(request_, store=store, first=False).lapsed  # the next task must also detect the loss
    assert not Lease(request_, store=store).lapsed  # a run that starts over has no cache hits to lose


def test_lease_of_a_suspended_process_has_lapsed(request_: RunRequest, bucket: S3Store) -> None:
    clock = Clock()
    lease = Lease(request_, store=bucket, clock=clock)
    for _ in range(10):
        clock.pass_by(MINUTE)
        lease.renew()
    assert not lease.lapsed
    clock.pass_by(LATE)
    assert lease.lapsed
    lease.renew()
    assert Lease(request_, store=bucket, first=False).lapsed


def test_lease_that_a_slow_store_writes_too_late_has_lapsed(request_: RunRequest, bucket: S3Store) -> None:
    clock = Clock()
    lease = Lease(request_, store=bucket, clock=clock)
    bucket.client.meta.events.register("after-call.s3.PutObject", lambda **_: clock.pass_by(EXPIRES_AFTER / 2 + MINUTE))
    clock.pass_by(EXPIRES_AFTER / 2)
    lease.renew()
    assert lease.lapsed
    assert Lease(request_, store=bucket, first=False).lapsed


@pytest.mark.parametrize("is_renewed", [False, True])
def test_lease_released_by_another_process_remains_lapsed(
    request_: RunRequest, bucket: S3Store, is_renewed: bool
) -> None:
    lease = Lease(request_, store=bucket)
    lease.renew()
    assert not lease.has_lapsed()
    release_lease(request_.report, request_.run_id, store=bucket)
    if is_renewed:  # the thread renews the lease before it is checked
        lease.renew()
    assert lease.has_lapsed()
    lease.renew()
    assert lease.has_lapsed()
    assert Lease(request_, store=bucket, first=False).lapsed


def test_lease_of_a_process_suspended_during_a_request_has_lapsed(request_: RunRequest, bucket: S3Store) -> None:
    clock = Clock()
    lease = Lease(request_, store=bucket, clock=clock)
    bucket.client.meta.events.register("after-call.s3.HeadObject", lambda **_: clock.pass_by(LATE))
    assert lease.has_lapsed()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no clock that goes on in its sleep")
def test_seconds_passed_includes_the_sleep_of_a_machine() -> None:
    clocks = {time.CLOCK_BOOTTIME: 500.0, time.CLOCK_MONOTONIC: 20.0}  # as on a machine that was suspended
    assert monotonic_seconds(clocks.__getitem__) == 500


def test_active_runs_deletes_expired_leases(request_: RunRequest, bucket: S3Store) -> None:
    Lease(request_, store=bucket)
    now = datetime.now(UTC)
    assert [run.run_id for run in active_runs("events", store=bucket, now=now)] == [request_.run_id]
    assert active_runs("events", store=bucket, now=now + LATE) == []
    assert leases(bucket) == []


def test_lease_key_supports_any_character_of_a_run_id(tmp_path: Path, bucket: S3Store) -> None:
    run_id = "events__scheduled__2026-01-01T00:00:00+00:00/ü"
    Lease(request_of(events_report(tmp_path), run_id=run_id), store=bucket)
    assert [run.run_id for run in active_runs("events", store=bucket, now=datetime.now(UTC))] == [run_id]


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        pytest.param("ALTER TABLE events DROP COLUMN amount", ReportError, id="failed"),
        pytest.param(None, KeyboardInterrupt, id="cancelled"),
    ],
)
def test_run_that_fails_or_is_cancelled_releases_its_lease(
    tmp_path: Path, fresh_database: str, bucket: S3Store, statement: str | None, error: type[BaseException]
) -> None:
    fill_events(fresh_database)
    seen: list[str] = []

    def disrupt_extract(stage_name: str, done: int, total: int) -> None:
        if stage_name == "extract" and not seen:
            seen.extend(leases(bucket))
            if statement is None:
                raise KeyboardInterrupt
            with psycopg.connect(fresh_database, autocommit=True) as connection:
                connection.execute(statement)

    definition = events_report(tmp_path)
    with pytest.raises(error):
        run_report(
            definition,
            request_of(definition),
            session=session_of(fresh_database),
            store=bucket,
            progress=disrupt_extract,
        )
    assert len(seen) == 1
    assert leases(bucket) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from quire.report.catalog import find_definition
from quire.runs.leases import hold_lease
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings
from tests.aggregated_runs import aggregate_run
from tests.events import request_of

include, uri, bucket = sys.argv[1:]
store = S3Store(StoreSettings.from_uri(uri, bucket=bucket))
with hold_lease(request_of(find_definition(Path(include), "events"), run_id="killed"), store=store):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_lease_of_a_killed_worker_expires_in_minutes(tmp_path: Path, bucket: S3Store, store_connection: str) -> None:
    events_report(tmp_path)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), store_connection, bucket.bucket],
        env={**os.environ, "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert [run.run_id for run in active_runs("events", store=bucket, now=datetime.now(UTC))] == ["killed"]
    assert active_runs("events", store=bucket, now=datetime.now(UTC) + LATE) == []


def test_publish_of_a_lapsed_run_checks_its_rows_again(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path)
    aggregated = aggregate_run(definition, fresh_database, bucket)
    files, partition = aggregated.render(), aggregated.run.partitions[1]
    lapses: list[bool] = []

    def usage() -> tuple[TaskUsage, ...]:  # called last, just before the manifest is written
        bucket.delete([partition.object_key])
        lapses.append(True)
        return ()

    with pytest.raises(DamagedObjectError, match="was deleted while the run had no lease"):
        aggregated.publish(files, fresh_database, usage=usage, lapsed=lambda: bool(lapses))
    assert not [entry.key for entry in bucket.list("reports/") if entry.key.endswith("manifest.json")]
    record = f"{partition.object_key.rpartition('/')[0]}.json"
    assert bucket.size(record) is None  # so that the repeated run reads the rows again
