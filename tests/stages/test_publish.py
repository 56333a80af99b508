"""When two writers render and publish the same run, one wins; a failed run leaves no objects behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quire.errors import DamagedObjectError, IntegrityError, StoreUnavailableError
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.record_types.manifest import manifest_key
from quire.record_types.stage_records import StatementUsage
from quire.report.definition import ReportDefinition
from quire.resource_usage import TaskMeter
from quire.runs.manifest_store import read_manifest
from quire.runs.verify import verify_run

from tests.aggregated_runs import aggregate_run
from tests.events import SQL, events_report, fill_events, request_of, session_of
from tests.workbooks import open_workbook, sheet_rows

pytestmark = pytest.mark.server


@pytest.fixture
def definition(tmp_path: Path, fresh_database: str) -> ReportDefinition:
    fill_events(fresh_database)
    return events_report(tmp_path)


def test_second_writer_deletes_its_files_and_adopts_the_first(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    first, second = (aggregate_run(definition, fresh_database, bucket, run_id=run_id) for run_id in ("first", "second"))
    assert first.run.layout.run_key == second.run.layout.run_key
    files = [run.render() for run in (first, second)]
    won = first.publish(files[0], fresh_database)
    lost = second.publish(files[1], fresh_database)
    assert (won.already_published, lost.already_published) == (False, True)
    assert lost.manifest == won.manifest
    expected = {file.key for file in won.manifest.files} | {manifest_key("events", first.run.layout.run_key)}
    assert {entry.key for entry in bucket.list("reports/")} == expected
    counted = {summary.object_key for summary in won.manifest.summaries}
    assert {entry.key for entry in bucket.list("summaries/")} == counted


def test_run_already_published_leaves_no_new_objects(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    first = aggregate_run(definition, fresh_database, bucket)
    first.publish(first.render(), fresh_database)
    before = {entry.key for entry in bucket.list("")}
    again = aggregate_run(definition, fresh_database, bucket, run_id="again")
    assert again.publish((), fresh_database).already_published
    assert {entry.key for entry in bucket.list("")} == before


def test_publish_retried_keeps_the_published_files(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    run = aggregate_run(definition, fresh_database, bucket)
    files = run.render()
    first = run.publish(files, fresh_database)
    again = run.publish(files, fresh_database)  # as if the process were killed just after writing the manifest
    assert again.manifest == first.manifest
    assert verify_run(first.manifest.run, store=bucket).problems == ()


@pytest.mark.parametrize("prefix", ["reports/", "summaries/"])
def test_run_with_missing_objects_is_not_published(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store, prefix: str
) -> None:
    """After a failure, garbage collection may delete the objects as orphans before the run is retried."""
    run = aggregate_run(definition, fresh_database, bucket)
    files = run.render()
    gone = next(iter(bucket.list(prefix))).key
    bucket.delete([gone])
    with pytest.raises(IntegrityError, match=gone):
        run.publish(files, fresh_database)
    assert bucket.size(manifest_key("events", run.run.layout.run_key)) is None


def test_render_that_fails_leaves_no_file(definition: ReportDefinition, fresh_database: str, bucket: S3Store) -> None:
    run = aggregate_run(definition, fresh_database, bucket)
    bucket.delete([run.run.partitions[2].object_key])
    with pytest.raises(IntegrityError, match="is not in the store"):
        replace(run, shards=run.shards[2:]).render()
    assert [entry.key for entry in bucket.list("reports/")] == []
    assert bucket.client.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads", []) == []


def test_missing_manifest_raises_an_error(bucket: S3Store) -> None:
    with pytest.raises(IntegrityError, match="was deleted or never published"):
        read_manifest(bucket, "events", "0" * 32)


def test_run_without_its_summaries_is_not_published(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    run = aggregate_run(definition, fresh_database, bucket)
    with pytest.raises(DamagedObjectError, match="the run's summaries are incomplete"):
        replace(run, summaries=()).publish(run.render(), fresh_database)
    assert bucket.size(manifest_key("events", run.run.layout.run_key)) is None


def test_publish_with_manifest_deleted_after_layout_raises_an_error(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    first = aggregate_run(definition, fresh_database, bucket)
    first.publish(first.render(), fresh_database)
    again = aggregate_run(definition, fresh_database, bucket, run_id="again")
    assert (again.run.layout.already_published, again.summaries, again.shards) == (True, (), ())
    bucket.delete([manifest_key("events", again.run.layout.run_key)])
    with pytest.raises(DamagedObjectError, match="was published, but files have since been deleted"):
        again.publish((), fresh_database)
    assert bucket.size(manifest_key("events", again.run.layout.run_key)) is None


def test_manifest_and_about_sheet_contain_all_warnings(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    run = aggregate_run(definition, fresh_database, bucket)
    run = run.with_changes(plan=replace(run.run.plan, warnings=("The range ends in the future.",)))
    first, second, third = run.render()
    files = (first, replace(second, notes=("2 texts were cut.",)), third)
    statement = StatementUsage(sql="SELECT ?", calls=11, rows=11, milliseconds=1)
    usage = (replace(TaskMeter("extract", "2013-01").usage(), statements=(statement,)),)
    manifest = run.publish(files, fresh_database, usage=lambda: usage).manifest
    warnings = ("The range ends in the future.", "events_2013-02.xlsx: 2 texts were cut.")
    assert manifest.warnings == warnings
    assert manifest.usage == usage
    about = sheet_rows(open_workbook(bucket, manifest.files[-1].key), "About")
    assert set(warnings) <= {cell for row in about for cell in row}


def test_manifest_contains_parameters_and_cache_hits(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    fill_events(fresh_database)
    definition = events_report(
        tmp_path,
        sql=SQL.replace("ORDER BY", "AND (%(kind)s::text IS NULL OR kind = %(kind)s) ORDER BY"),
        parameters={"kind": {"type": "string", "default": None}},
    )
    run = aggregate_run(definition, fresh_database, bucket)
    request = replace(run.run.plan.request, parameters={"kind": "a"})
    first, *others = run.run.partitions
    run = run.with_changes(
        plan=replace(run.run.plan, request=request), partitions=(replace(first, cache_hit=True), *others)
    )
    files = run.render()
    manifest = run.publish(files, fresh_database).manifest
    assert manifest.parameters == {"kind": "a"}
    assert [part.stored for part in manifest.partitions] == [True, False, False]


def test_publish_that_cannot_store_the_summary_leaves_no_manifest(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store
) -> None:
    run = aggregate_run(definition, fresh_database, bucket)
    files = run.render()

    def fail(params: dict[str, Any], **_: Any) -> None:
        if params["url_path"].endswith("_summary.xlsx"):
            raise StoreUnavailableError("away")

    bucket.client.meta.events.register("before-call.s3.PutObject", fail)
    with pytest.raises(StoreUnavailableError, match="away"):
        run.publish(files, fresh_database)
    assert bucket.size(manifest_key("events", run.run.layout.run_key)) is None


def test_single_workbook_without_detail_contains_only_summaries(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, workbook={"split": "none", "detail": False})
    run = aggregate_run(definition, fresh_database, bucket)
    manifest = run.publish((), fresh_database).manifest
    assert [file.name for file in manifest.files] == ["events_2013-01-01_2013-03-31_summary.xlsx"]
    about = sheet_rows(open_workbook(bucket, manifest.files[0].key), "About")
    assert [row[1] for row in about if row[0] == "Data files"] == [0]


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        ("2013-01-01", "2013-03-31", "events_2013-01-01_2013-03-31_summary.xlsx"),
        ("2013-02-01", "2013-02-28", "events_2013-02_summary.xlsx"),
        ("2013-02-03", "2013-02-05", "events_2013-02-03_2013-02-05_summary.xlsx"),
        ("2013-02-03", "2013-02-03", "events_2013-02-03_summary.xlsx"),
    ],
)
def test_summary_file_is_named_after_report_and_date_range(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store, start: str, end: str, name: str
) -> None:
    request = request_of(definition, start, end)
    published = run_report(definition, request, session=session_of(fresh_database), store=bucket).published
    assert published.manifest.files[-1].name == name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda files: files[1:], "events_2013-01.csv is missing from the run's files"),
        (lambda files: (*files, files[1]), "events_2013-01.xlsx occurs 2 times in the run's files"),
    ],
)
def test_run_with_missing_or_duplicate_files_is_not_published(
    tmp_path: Path, fresh_database: str, bucket: S3Store, change: Any, reason: str
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, workbook={"formats": ["csv", "xlsx"]})
    run = aggregate_run(definition, fresh_database, bucket)
    files = run.render()
    assert [file.name for file in files[:2]] == ["events_2013-01.csv", "events_2013-01.xlsx"]
    with pytest.raises(DamagedObjectError, match=reason):
        run.publish(change(files), fresh_database)
    assert bucket.size(manifest_key("events", run.run.layout.run_key)) is None
