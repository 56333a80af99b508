"""Render writes all of a shard's files, or none if there is an error."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.errors import IntegrityError, StoreUnavailableError
from quire.object_store import CONTENT_TYPES, Upload
from quire.object_store.s3_store import S3Store
from quire.object_store.s3_upload import S3Upload
from quire.object_store.store import BINARY
from quire.postgres.arrow_types import storage_schema
from quire.record_types.stage_records import LaidOutRun, RunPlan, SourceColumn, StagedPartition, WorkbookShard
from quire.report.definition import ReportDefinition
from quire.stages.layout import layout_run
from quire.stages.render import render_workbooks

from tests.events import events_report, request_of
from tests.workbooks import open_workbook, sheet_rows

pytestmark = pytest.mark.server

COLUMNS = (SourceColumn(name="at", pg_type="timestamptz"), SourceColumn(name="note", pg_type="text"))
NOTE_LETTERS = 2_000


def report(include: Path, **workbook: Any) -> ReportDefinition:
    return events_report(include, columns=[], summaries=[], workbook=workbook)


def store_rows(store: S3Store, key: str, notes: list[str], *, group_rows: int) -> Upload:
    """Stores a partition's rows, and returns the upload with its size and checksums."""
    schema = storage_schema(COLUMNS)
    table = pa.table([pa.array([0] * len(notes), schema.field("at").type), pa.array(notes)], schema=schema)
    with store.open_upload(key) as upload, pq.ParquetWriter(upload, schema, use_dictionary=False) as writer:
        writer.write_table(table, row_group_size=group_rows)
    return upload


def staged_run(
    definition: ReportDefinition, store: S3Store, notes: list[str], *, group_rows: int, end: str = "2013-03-31"
) -> LaidOutRun:
    """Stages consecutive months from January, all with the same rows."""
    request = request_of(definition, end=end)
    months = request.date_range.partitions(definition.partition)
    plan = RunPlan(request=request, source_digest="d" * 32, columns=COLUMNS)
    uploads = [store_rows(store, f"partitions/{month.key}.parquet", notes, group_rows=group_rows) for month in months]
    staged = tuple(
        StagedPartition(
            key=month.key,
            start=month.start,
            stop=month.stop,
            object_key=f"partitions/{month.key}.parquet",
            rows=len(notes),
            bytes=upload.bytes,
            sha256=upload.sha256,
            checksums=upload.checksums,
            freshness_token="t",
            reusable=False,  # so that the workbooks belong to this run
        )
        for month, upload in zip(months, uploads, strict=True)
    )
    return layout_run(definition, plan, staged, store=store)


def shards(laid_out: LaidOutRun) -> tuple[WorkbookShard, ...]:
    return tuple(shard for group in laid_out.groups for shard in group)


def damage(store: S3Store, key: str) -> None:
    """Overwrites some values in the second row group."""
    body = store.read(key, max_bytes=1 << 30)
    assert body is not None
    column = pq.read_metadata(io.BytesIO(body)).row_group(1).column(1)
    # the middle, because the checksum blocks at both ends also cover the first row group or the footer
    middle = column.data_page_offset + column.total_compressed_size // 2
    store.put(key, body[:middle] + b"\xff" * 100 + body[middle + 100 :])


def remaining(store: S3Store) -> tuple[list[str], list[str]]:
    """Returns the objects under ``reports/`` and the unfinished multipart uploads."""
    uploads = store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])
    return [entry.key for entry in store.list("reports/")], [upload["Key"] for upload in uploads]


def record_calls(store: S3Store, operation: str) -> list[str]:
    """Returns a list to which each later call to an operation is appended."""
    calls: list[str] = []
    store.client.meta.events.register(f"before-call.s3.{operation}", lambda **_: calls.append(operation))
    return calls


# Enough rows precede the damaged rows for the upload to begin: an upload part has 8 MiB, a Parquet row group has 64 MB,
# and rows are written to a sheet several batches after they are read.
@pytest.mark.parametrize(("file_format", "group_rows"), [("xlsx", 62_000), ("csv", 14_000), ("parquet", 46_000)])
def test_render_with_damaged_rows_leaves_no_object_and_no_upload(
    tmp_path: Path, bucket: S3Store, file_format: str, group_rows: int
) -> None:
    definition = report(tmp_path, split="none", formats=[file_format])
    notes = [hashlib.shake_256(str(n).encode()).hexdigest(NOTE_LETTERS // 2) for n in range(group_rows + 5_000)]
    laid_out = staged_run(definition, bucket, notes, group_rows=group_rows, end="2013-01-31")
    damage(bucket, laid_out.run.partitions[0].object_key)
    begun, aborted = record_calls(bucket, "CreateMultipartUpload"), record_calls(bucket, "AbortMultipartUpload")
    with pytest.raises(IntegrityError, match=r"2013-01\.parquet does not match its checksum"):
        render_workbooks(definition, laid_out.run, shards(laid_out), store=bucket)
    assert (len(begun), len(aborted)) == (1, 1)
    assert remaining(bucket) == ([], [])


@pytest.mark.parametrize("file_format", ["xlsx", "csv", "parquet"])
def test_render_error_in_a_later_shard_leaves_no_earlier_file(
    tmp_path: Path, bucket: S3Store, file_format: str
) -> None:
    definition = report(tmp_path, split="partition", formats=[file_format])
    laid_out = staged_run(definition, bucket, ["a", "b", "c", "d"] * 1_000, group_rows=2_000)
    damage(bucket, laid_out.run.partitions[2].object_key)
    with pytest.raises(IntegrityError, match=r"2013-03\.parquet does not match its checksum"):
        render_workbooks(definition, laid_out.run, shards(laid_out), store=bucket)
    assert remaining(bucket) == ([], [])


def test_render_response_lost_in_a_later_format_leaves_no_file(tmp_path: Path, bucket: S3Store) -> None:
    definition = report(tmp_path, split="none", formats=["csv", "parquet", "xlsx"])
    laid_out = staged_run(definition, bucket, ["a"] * 10, group_rows=10)
    lose_responses(bucket, ending=".xlsx")
    with pytest.raises(StoreUnavailableError, match="the answer was lost"):
        render_workbooks(definition, laid_out.run, shards(laid_out), store=bucket)
    assert remaining(bucket) == ([], [])


def lose_responses(store: S3Store, *, ending: str) -> None:
    """Makes the store accept objects with matching keys, but loses its responses."""
    paths: list[str] = []

    def record(params: dict[str, Any], **_: Any) -> None:
        paths.append(params["url_path"])

    def lose(**_: Any) -> None:
        if paths[-1].endswith(ending):
            raise StoreUnavailableError("the answer was lost")

    store.client.meta.events.register("before-call.s3.PutObject", record)
    store.client.meta.events.register("after-call.s3.PutObject", lose)


def test_render_of_several_shards_and_formats_keeps_all_files(tmp_path: Path, bucket: S3Store) -> None:
    definition = report(tmp_path, split="partition", formats=["csv", "parquet", "xlsx"])
    laid_out = staged_run(definition, bucket, ["a"] * 10, group_rows=10)
    files = render_workbooks(definition, laid_out.run, shards(laid_out), store=bucket)
    assert sorted(file.key for file in files) == remaining(bucket)[0]
    assert len(files) == 9


def test_file_has_its_dates_and_the_content_type_of_its_format(tmp_path: Path, bucket: S3Store) -> None:
    definition = report(tmp_path, split="partition", formats=["csv", "parquet", "xlsx"])
    laid_out = staged_run(definition, bucket, ["a"], group_rows=1)
    for file in render_workbooks(definition, laid_out.run, shards(laid_out)[1:2], store=bucket):
        assert (file.start.isoformat(), file.end.isoformat()) == ("2013-02-01", "2013-02-28")
        content_type = bucket.client.head_object(Bucket=bucket.bucket, Key=file.key)["ContentType"]
        assert content_type == CONTENT_TYPES[file.name.rpartition(".")[2]]


def test_truncated_text_is_noted_in_the_file_and_its_about_sheet(tmp_path: Path, bucket: S3Store) -> None:
    definition = report(tmp_path, split="none", formats=["xlsx"])
    laid_out = staged_run(definition, bucket, ["a" * 40_000], group_rows=1, end="2013-01-31")
    (file,) = render_workbooks(definition, laid_out.run, shards(laid_out), store=bucket)
    assert len(file.notes) == 1
    about = sheet_rows(open_workbook(bucket, file.key), "About")
    assert file.notes[0] in {cell for row in about for cell in row}


class InterruptedUpload(S3Upload):
    """An upload that is interrupted at its first bytes, as if by Ctrl-C."""

    def _append(self, data: bytes | memoryview) -> None:
        raise KeyboardInterrupt


class InterruptedStore(S3Store):
    """Interrupts each upload of a Parquet file."""

    def open_upload(self, key: str, *, content_type: str = BINARY) -> S3Upload:
        upload = InterruptedUpload if key.endswith(".parquet") else S3Upload
        return upload(self.client, self.bucket, key, content_type=content_type)


def test_interrupted_render_leaves_no_file(tmp_path: Path, bucket: S3Store) -> None:
    definition = report(tmp_path, split="none", formats=["csv", "parquet"])
    laid_out = staged_run(definition, bucket, ["a"], group_rows=1)
    with pytest.raises(KeyboardInterrupt):
        render_workbooks(definition, laid_out.run, shards(laid_out), store=InterruptedStore(bucket.settings))
    assert remaining(bucket) == ([], [])


def test_workbook_properties_contain_request_time_and_dates(tmp_path: Path, bucket: S3Store) -> None:
    definition = report(tmp_path, split="partition", formats=["xlsx"])
    laid_out = staged_run(definition, bucket, ["a"], group_rows=1)
    request = replace(laid_out.run.plan.request, made_at="2013-04-01T06:00:00+00:00")
    run = replace(laid_out.run, plan=replace(laid_out.run.plan, request=request))
    (file,) = render_workbooks(definition, run, shards(laid_out)[1:2], store=bucket)
    with zipfile.ZipFile(io.BytesIO(bucket.read(file.key) or b"")) as parts:
        properties = parts.read("docProps/core.xml").decode()
    assert "2013-04-01T06:00:00" in properties
    assert "2013-02-01 to 2013-02-28" in properties
