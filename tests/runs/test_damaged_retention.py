"""If a record is damaged, retention handles other records as usual, and keeps any objects that this one may list."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from quire.errors import IntegrityError
from quire.object_store.s3_store import S3Store
from quire.record_types.manifest import manifest_key
from quire.report.definition import ReportDefinition
from quire.runs.verify import verify_run

from tests.integration.test_damage import flip_digit
from tests.polling import wait_until
from tests.runs.test_retention import DAY, change, collect, keys, places, publish, supersede

pytestmark = pytest.mark.server

HOUR = timedelta(hours=1)


def test_damaged_partition_record_is_deleted_and_the_rest_collected(
    definition: ReportDefinition, database: str, bucket: S3Store, caplog: pytest.LogCaptureFixture
) -> None:
    supersede(definition, database, bucket)
    (february,) = places(bucket, "2013-02")
    before = places(bucket, "2013-01")
    flip_digit(bucket, february)
    bucket.put("reports/events/orphan/x.csv", b"x")
    with caplog.at_level(logging.WARNING):
        collect(definition, bucket, after=DAY + HOUR)  # reads the damaged record with February's folder
    assert february in caplog.text
    assert february not in keys(bucket)
    assert len(places(bucket, "2013-01")) == len(before) - 1
    assert "reports/events/orphan/x.csv" not in keys(bucket)
    collect(definition, bucket, after=DAY + HOUR)
    assert not [key for key in keys(bucket) if key.startswith("partitions/") and "/2013-02/" in key]


def test_damaged_superseded_record_leaves_rows_named_by_a_manifest(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    manifest = publish(definition, database, bucket)
    (old,) = places(bucket, "2013-01")
    change(database, 1, 5)
    publish(definition, database, bucket)
    flip_digit(bucket, old)
    for _ in range(2):
        collect(definition, bucket, after=DAY + HOUR)
    assert old not in keys(bucket)
    assert verify_run(manifest.run, store=bucket).problems == ()


def test_damaged_partial_record_is_deleted_and_the_rows_stay(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    manifest = publish(definition, database, bucket)
    partial = min(
        key for key in keys(bucket) if key.startswith("partitions/") and key.count("/") == 5 and ".json" in key
    )
    flip_digit(bucket, partial)
    collect(definition, bucket, after=DAY + HOUR)
    assert partial not in keys(bucket)
    assert verify_run(manifest.run, store=bucket).problems == ()


def test_damaged_manifest_keeps_its_run_and_older_rows_only(
    definition: ReportDefinition, database: str, bucket: S3Store, caplog: pytest.LogCaptureFixture
) -> None:
    first = publish(definition, database, bucket)
    flip_digit(bucket, manifest_key("events", first.run))
    (named,) = places(bucket, "2013-01")
    older = places(bucket, "2013-02")
    (modified,) = [entry.modified for entry in bucket.list(manifest_key("events", first.run))]
    wait_until(lambda: bucket.now() - modified >= timedelta(seconds=1))  # S3 rounds modification times to seconds
    for amount in (5, 6):  # February changes after the damaged manifest was written
        change(database, 3, amount)
        publish(definition, database, bucket)
    change(database, 1, 7)
    publish(definition, database, bucket)
    newer = places(bucket, "2013-02") - older
    for entry in list(bucket.list("reports/events/")):
        if entry.key.endswith("/manifest.json") and first.run not in entry.key:
            bucket.delete([entry.key])
    bucket.put("reports/events/orphan/x.csv", b"x")
    with caplog.at_level(logging.WARNING), pytest.raises(IntegrityError, match=first.run):
        collect(definition, bucket, after=2 * DAY)
    remaining = keys(bucket)
    assert "keeping" in caplog.text
    assert {file.key for file in first.files} <= remaining
    assert {part.object_key for part in first.partitions} <= remaining
    assert {summary.object_key for summary in first.summaries} <= remaining
    assert "reports/events/orphan/x.csv" not in remaining
    assert named in remaining
    assert older <= remaining
    assert len(newer) == 2
    assert len(newer & remaining) == 1  # the newest


def test_damaged_manifest_is_deleted_with_its_expired_run(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    manifest = publish(definition, database, bucket)
    flip_digit(bucket, manifest_key("events", manifest.run))
    collect(definition, bucket, after=31 * DAY)
    assert not [key for key in keys(bucket) if key.startswith("reports/events/")]
