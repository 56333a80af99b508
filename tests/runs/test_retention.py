"""Garbage collection at simulated times keeps required objects despite interruptions and concurrent runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from quire.errors import IntegrityError
from quire.object_store import StoredObject
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report, store_partitions
from quire.record_types.manifest import Manifest
from quire.report.definition import ReportDefinition
from quire.report.request import RunRequest
from quire.runs.leases import Lease, lease_key
from quire.runs.retention import CollectionResult, collect_garbage
from quire.runs.verify import verify_run
from quire.settings import StoreSettings

from tests.events import request_of, session_of

pytestmark = pytest.mark.server

DAY = timedelta(days=1)


def publish(definition: ReportDefinition, url: str, store: S3Store, end: str = "2013-03-31") -> Manifest:
    request = request_of(definition, "2013-01-01", end)
    return run_report(definition, request, session=session_of(url), store=store).published.manifest


def change(url: str, event: int, amount: float) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE events SET amount = %s WHERE id = %s", [amount, event])


def supersede(definition: ReportDefinition, url: str, store: S3Store) -> None:
    """Stores all partitions, changes a row in January, and stores January again."""
    session, request = session_of(url), request_of(definition)
    store_partitions(definition, request, session=session, store=store)
    change(url, 1, 5)
    store_partitions(definition, request, session=session, store=store)


def collect(definition: ReportDefinition, store: S3Store, *, after: timedelta) -> CollectionResult:
    """Collects garbage as if some time had passed. After ``DAY`` and an hour, every object in a test is old."""
    return collect_garbage({definition.name: definition}, store=store, now=datetime.now(UTC) + after)


def keys(store: S3Store) -> set[str]:
    return {entry.key for entry in store.list("")}


def places(store: S3Store, month: str) -> set[str]:
    """Returns the keys of the commit records for a partition's rows."""
    return {key for key in keys(store) if f"/{month}/" in key and key.count("/") == 4}


def test_gc_keeps_all_objects_of_records(definition: ReportDefinition, database: str, bucket: S3Store) -> None:
    manifest = publish(definition, database, bucket)
    before = keys(bucket)
    done = collect(definition, bucket, after=29 * DAY)
    assert (done, keys(bucket)) == (CollectionResult(), before)
    assert verify_run(manifest.run, store=bucket).problems == ()


def test_expired_run_is_deleted_and_the_newest_rows_remain(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    publish(definition, database, bucket)
    partitions = {key for key in keys(bucket) if key.startswith("partitions/")}
    done = collect(definition, bucket, after=31 * DAY)
    assert done.runs == 1
    assert keys(bucket) == partitions
    store_partitions(definition, request_of(definition), session=session_of(database), store=bucket)
    assert keys(bucket) == partitions  # a later run can reuse all partitions


def test_run_of_a_report_without_definition_is_kept(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    publish(definition, database, bucket)
    before = keys(bucket)
    collect_garbage({}, store=bucket, now=datetime.now(UTC) + 1000 * DAY)
    assert keys(bucket) == before


def test_superseded_rows_are_deleted_after_a_day_and_not_earlier(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    request = request_of(definition)
    for amount in (1, 2, 3):
        change(database, 1, amount)
        store_partitions(definition, request, session=session_of(database), store=bucket)
    assert len(places(bucket, "2013-01")) == 3
    assert collect(definition, bucket, after=DAY / 2).objects == 0
    newest = max(places(bucket, "2013-01"), key=lambda key: str((bucket.read_json(key) or {})["snapshot_at"]))
    done = collect(definition, bucket, after=2 * DAY)
    assert (done.partitions, done.objects) == (2, 6)  # the rows, their partial summary, and the summary's record
    assert places(bucket, "2013-01") == {newest}
    assert len(places(bucket, "2013-02")) == 1


def test_unreachable_rows_do_not_supersede_reachable_rows(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    request = request_of(definition)
    store_partitions(definition, request, session=session_of(database), store=bucket)
    lasting = places(bucket, "2013-01")
    for _ in range(2):
        forced = replace(request_of(definition), force=True)
        run_report(definition, forced, session=session_of(database), store=bucket)
    # deletes manifests; the next collection deletes the objects that they list
    collect(definition, bucket, after=31 * DAY)
    collect(definition, bucket, after=33 * DAY)
    assert lasting < places(bucket, "2013-01")
    assert len(places(bucket, "2013-01")) == 2  # the rows that are reachable, and the newest rows
    cached = store_partitions(definition, request, session=session_of(database), store=bucket)
    assert [part.cache_hit for part in cached] == [True, True, True]


def test_superseded_rows_remain_as_long_as_a_manifest_names_them(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    first = publish(definition, database, bucket)
    change(database, 1, 5)
    store_partitions(definition, request_of(definition), session=session_of(database), store=bucket)
    collect(definition, bucket, after=2 * DAY)
    assert verify_run(first.run, store=bucket).problems == ()
    # deletes the manifest; the next collection deletes the objects that it lists
    collect(definition, bucket, after=31 * DAY)
    collect(definition, bucket, after=32 * DAY)
    assert len(places(bucket, "2013-01")) == 1
    assert not [key for key in keys(bucket) if key.startswith(("reports/", "summaries/"))]


def test_orphans_are_deleted_after_a_day(definition: ReportDefinition, database: str, bucket: S3Store) -> None:
    manifest = publish(definition, database, bucket)
    existing = keys(bucket)
    folder = manifest.partitions[0].object_key.rpartition("/")[0]
    run = f"reports/events/{manifest.run}"
    orphans = {
        f"{folder}/loser.parquet",
        f"{folder.rpartition('/')[0]}/othertoken/rows.parquet",
        f"{run}/loser/summary.xlsx",
        "reports/events/killed/uuid/events_2013-01.xlsx",
        "summaries/events/digest/loser.parquet",
    }
    for key in orphans:
        bucket.put(key, b"x")
    bucket.client.create_multipart_upload(Bucket=bucket.bucket, Key="reports/events/killed/uuid/torn.xlsx")
    assert collect(definition, bucket, after=DAY / 2).objects == 0
    assert keys(bucket) == existing | orphans
    done = collect(definition, bucket, after=DAY * 1.1)
    assert (done.objects, done.uploads, keys(bucket)) == (len(orphans), 1, existing)
    assert bucket.client.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads", []) == []


def test_report_with_an_active_run_is_skipped_until_its_lease_expires(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    publish(definition, database, bucket)
    bucket.put("running/events/of-an-earlier-version", b"")
    lease = Lease(request_of(definition), store=bucket)  # a killed run's lease
    before = keys(bucket)
    done = collect(definition, bucket, after=timedelta(minutes=4))
    assert (list(done.active), done.objects, keys(bucket)) == (["events"], 0, before)
    assert lease_key("events", done.active["events"].run_id) in before
    assert collect(definition, bucket, after=timedelta(minutes=6)).active == {}
    assert keys(bucket) == before - {lease_key("events", done.active["events"].run_id)}
    assert not lease.lapsed
    assert collect(definition, bucket, after=31 * DAY).active == {}
    assert not [key for key in keys(bucket) if key.startswith(("running/", "leases/", "reports/"))]


class StoppingStore(S3Store):
    """Stops after a number of deletions, as if the process had been killed."""

    def __init__(self, settings: StoreSettings, *, after: int) -> None:
        super().__init__(settings)
        self._left = after

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            super().delete([key])


@pytest.mark.parametrize("after", [0, 1, 3, 8])
def test_killed_collection_is_completed_by_the_next(
    definition: ReportDefinition, database: str, bucket: S3Store, after: int
) -> None:
    old = publish(definition, database, bucket)
    change(database, 1, 5)
    store_partitions(definition, request_of(definition), session=session_of(database), store=bucket)
    newest = places(bucket, "2013-01")
    with pytest.raises(KeyboardInterrupt):
        collect(definition, StoppingStore(bucket.settings, after=after), after=31 * DAY)
    half = keys(bucket)
    assert newest & half
    if f"reports/events/{old.run}/manifest.json" in half:
        assert verify_run(old.run, store=bucket).problems == ()
    for _ in range(3):
        collect(definition, bucket, after=32 * DAY)
    assert not [key for key in keys(bucket) if key.startswith(("reports/", "summaries/"))]
    assert len(places(bucket, "2013-01")) == 1
    again = publish(definition, database, bucket)
    assert verify_run(again.run, store=bucket).problems == ()


class RacingStore(S3Store):
    """Runs a report just before the first deletion, so the run reuses rows that are about to be deleted."""

    def __init__(self, settings: StoreSettings, run: Any) -> None:
        super().__init__(settings)
        self._run = run
        self.manifest: Any = None

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            if self.manifest is None:
                self.manifest = self._run()
            super().delete([key])

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Reports that leases were renewed in the future, at the collection's simulated time."""
        for entry in super().list(prefix):
            yield replace(entry, modified=entry.modified + 7 * DAY) if prefix.startswith("leases/") else entry


def lease_once(request: RunRequest, store: S3Store) -> bool:
    Lease(request, store=store)
    return True


def test_rows_remain_while_a_run_that_may_reuse_them_is_active(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    supersede(definition, database, bucket)
    rows = {key for key in keys(bucket) if key.startswith("partitions/") and key.count("/") == 5}
    racing = RacingStore(bucket.settings, partial(lease_once, request_of(definition), bucket))
    assert list(collect(definition, racing, after=1.5 * DAY).active) == ["events"]
    assert rows <= keys(bucket)


def test_damaged_record_of_one_report_does_not_block_the_others(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    publish(definition, database, bucket)
    bucket.put("reports/aaa/run/manifest.json", b"{}")
    with pytest.raises(
        IntegrityError,
        match=r"aaa/run/manifest\.json was written by another version of Quire: it is not a valid Manifest",
    ):
        collect(definition, bucket, after=31 * DAY)
    assert not [key for key in keys(bucket) if key.startswith("reports/events/")]


def test_rows_reused_just_before_their_deletion_remain(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    supersede(definition, database, bucket)
    change(database, 1, 10.1)  # restores the first rows
    racing = RacingStore(bucket.settings, lambda: publish(definition, database, bucket))
    collect(definition, racing, after=2 * DAY)
    assert racing.manifest
    assert [part.stored for part in racing.manifest.partitions] == [True, True, True]
    assert verify_run(racing.manifest.run, store=bucket).problems == ()
