"""``verify`` compares every number in a manifest with the stored objects, which it reads completely."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.errors import ParameterError
from quire.object_store.s3_store import S3Store
from quire.record_types.manifest import Manifest, ManifestPartition, manifest_key
from quire.record_types.serialization import to_json
from quire.record_types.stage_records import RenderedFile
from quire.runs.verify import READ_BYTES, verify_run

pytestmark = pytest.mark.server

START, END = dt.date(2013, 1, 1), dt.date(2013, 1, 31)
ROWS = 3


def stored_partition(store: S3Store) -> ManifestPartition:
    body = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(ROWS))}), body)
    store.put("partitions/events/a.parquet", body.getvalue())
    return ManifestPartition(
        key="2013-01",
        rows=ROWS,
        bytes=len(body.getvalue()),
        sha256=hashlib.sha256(body.getvalue()).hexdigest(),
        object_key="partitions/events/a.parquet",
        stored=False,
    )


def stored_file(store: S3Store, name: str, body: bytes, *, rows: int) -> RenderedFile:
    store.put(f"reports/events/r/{name}", body)
    return RenderedFile(
        name=name,
        key=f"reports/events/r/{name}",
        rows=rows,
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        start=START,
        end=END,
    )


def published(store: S3Store, *files: RenderedFile) -> Manifest:
    return Manifest(
        report="events",
        run="r",
        run_id="one",
        title="Events",
        made_at="2013-02-01T06:00:00+00:00",
        start=START,
        end=END,
        timezone="UTC",
        parameters={},
        rows=ROWS,
        partitions=(stored_partition(store),),
        summaries=(),
        files=files,
        warnings=(),
        usage=(),
    )


def problems_of(store: S3Store, manifest: Manifest) -> tuple[str, ...]:
    store.put_json_once(manifest_key("events", "r"), to_json(manifest))
    return verify_run("r", store=store).problems


def test_verify_unchanged_run_has_no_problems(bucket: S3Store) -> None:
    files = [
        stored_file(bucket, "a.csv", b"csv", rows=1),
        stored_file(bucket, "b.csv", b"more", rows=2),
        stored_file(bucket, "a.xlsx", b"xlsx", rows=ROWS),
        replace(stored_file(bucket, "events_2013-01_summary.xlsx", b"none", rows=0), summaries_only=True),
    ]
    assert problems_of(bucket, published(bucket, *files)) == ()


def test_verify_run_of_an_older_version_has_no_problems(bucket: S3Store) -> None:
    files = [
        stored_file(bucket, "a.xlsx", b"xlsx", rows=ROWS),
        stored_file(bucket, "summary.xlsx", b"none", rows=0),
    ]
    manifest = to_json(published(bucket, *files))
    for file in manifest["files"]:
        del file["earliest"], file["latest"], file["summaries_only"]  # the earlier version did not write these fields
    bucket.put_json_once(manifest_key("events", "r"), manifest)
    assert verify_run("r", store=bucket).problems == ()


def test_verify_counts_rows_of_a_file_named_like_a_summary(bucket: S3Store) -> None:
    file = stored_file(bucket, "events_monthly_summary.xlsx", b"xlsx", rows=ROWS - 1)
    assert problems_of(bucket, published(bucket, file)) == ("the xlsx files have 2 rows; the manifest states 3",)


def test_verify_reports_partitions_with_a_different_row_count(bucket: S3Store) -> None:
    manifest = replace(published(bucket), rows=ROWS + 1)
    assert problems_of(bucket, manifest) == ("the partitions have 3 rows; the manifest states 4",)


def test_verify_reports_a_format_with_missing_rows(bucket: S3Store) -> None:
    files = [
        stored_file(bucket, "a.csv", b"csv", rows=ROWS - 1),
        stored_file(bucket, "a.xlsx", b"xlsx", rows=ROWS),
    ]
    assert problems_of(bucket, published(bucket, *files)) == ("the csv files have 2 rows; the manifest states 3",)


def test_verify_last_byte_of_a_large_file_is_read_again(bucket: S3Store) -> None:
    body = b"x" * (READ_BYTES + 1)
    file = stored_file(bucket, "a.csv", body, rows=ROWS)
    manifest = published(bucket, file)
    assert problems_of(bucket, manifest) == ()
    bucket.put(file.key, body[:-1] + b"y")
    (fault,) = problems_of(bucket, manifest)
    assert fault.startswith(f"{file.key} has the SHA-256 ")


def test_verify_missing_run_is_rejected(bucket: S3Store) -> None:
    with pytest.raises(ParameterError, match="run 'r' is not published"):
        verify_run("r", store=bucket)
