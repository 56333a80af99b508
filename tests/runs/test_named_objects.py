"""Retention keeps every object that a manifest lists, even if the object's record has changed in the meantime."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from quire.errors import IntegrityError
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.postgres.tracking.installation import track
from quire.record_types.manifest import Manifest, manifest_key
from quire.report.definition import ReportDefinition
from quire.runs.verify import verify_run

from tests.events import request_of, session_of
from tests.postgres.tracking.tables import tracked_report
from tests.runs.test_retention import DAY, collect, keys, places, publish, supersede

pytestmark = pytest.mark.server


def run(definition: ReportDefinition, url: str, store: S3Store, **changes: Any) -> Manifest:
    request = replace(request_of(definition), **changes)
    return run_report(definition, request, session=session_of(url), store=store).published.manifest


def named(manifest: Manifest) -> set[str]:
    return {
        *(partition.object_key for partition in manifest.partitions),
        *(summary.object_key for summary in manifest.summaries),
        *(file.key for file in manifest.files),
    }


@pytest.mark.parametrize("detail", [True, False])
def test_gc_after_a_record_was_replaced_keeps_rows_of_manifests(
    tmp_path: Path, database: str, bucket: S3Store, detail: bool
) -> None:
    definition = tracked_report(
        tmp_path,
        summaries=[{"name": "Kinds", "by": ["kind"], "measures": {"n": {"agg": "count"}}}],
        workbook={"detail": detail},
    )
    track(definition, database)
    january = run(definition, database, bucket, end=date(2013, 1, 31))
    quarter = run(definition, database, bucket)
    (record,) = places(bucket, "2013-01")
    loser = f"{record.removesuffix('.json')}/loser.parquet"
    bucket.put(loser, b"x")
    bucket.put(record, b'{"damaged')
    again = run(definition, database, bucket, end=date(2013, 2, 28))
    assert again.partitions[0].object_key != january.partitions[0].object_key
    collect(definition, bucket, after=2 * DAY)
    assert named(january) | named(quarter) | named(again) <= keys(bucket)
    assert [verify_run(each.run, store=bucket).problems for each in (january, quarter, again)] == [(), (), ()]
    assert record in keys(bucket)
    assert loser not in keys(bucket)


def test_superseded_record_stays_while_a_manifest_names_its_rows(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    manifest = publish(definition, database, bucket)
    (record,) = places(bucket, "2013-01")
    folder = record.removesuffix(".json") + "/"
    before = {key for key in keys(bucket) if key.startswith(folder)}
    supersede(definition, database, bucket)
    collect(definition, bucket, after=2 * DAY)
    assert manifest.partitions[0].object_key in before
    assert record in keys(bucket)
    assert {key for key in keys(bucket) if key.startswith(folder)} == before


def test_manifest_in_a_subfolder_of_a_run_is_not_its_record(
    definition: ReportDefinition, database: str, bucket: S3Store
) -> None:
    manifest = publish(definition, database, bucket)
    nested = f"reports/events/{manifest.run}/0/manifest.json"
    assert nested < manifest_key("events", manifest.run)
    bucket.put(nested, b"[")
    collect(definition, bucket, after=2 * DAY)
    assert nested not in keys(bucket)
    assert named(manifest) | {manifest_key("events", manifest.run)} <= keys(bucket)


def test_partition_record_of_another_version_is_reported_once(
    definition: ReportDefinition, database: str, bucket: S3Store, caplog: pytest.LogCaptureFixture
) -> None:
    supersede(definition, database, bucket)
    record = min(places(bucket, "2013-01"))
    bucket.put(record, b"{}")
    before = keys(bucket)
    with caplog.at_level(logging.WARNING), pytest.raises(IntegrityError, match="another version"):
        collect(definition, bucket, after=2 * DAY)
    assert caplog.text.count(f"{record} was written by another version") == 1
    assert keys(bucket) == before
