"""Render and publish: of two writers of a run one counts, and what failed leaves nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quire.errors import DamagedObjectError, IntegrityError, StoreUnavailableError
from quire.object_store import ObjectStore
from quire.pipeline import run_report
from quire.records.manifest import manifest_key
from quire.records.stage_records import RenderedFile, StagedRun, StatementUsage
from quire.report.definition import ReportDefinition
from quire.resource_usage import TaskMeter
from quire.runs.manifest_store import read_manifest
from quire.runs.verify import verify_run
from quire.stages.aggregate import aggregate_summaries
from quire.stages.extract import extract_partitions
from quire.stages.layout import layout_run
from quire.stages.plan import plan_partitions
from quire.stages.publish import publish_run
from quire.stages.render import render_workbooks

from tests.events import SQL, events_report, fill_events, request_of, session_of
from tests.workbooks import open_workbook, sheet_rows


def stage(definition: ReportDefinition, url: str, store: ObjectStore, *, run_id: str = "r") -> StagedRun:
    """Returns a run whose files are still to be written."""
    session = session_of(url)
    plan = plan_partitions(definition, request_of(definition, run_id="r"), session=session, store=store)
    partitions = extract_partitions(
        definition, plan, [part for group in plan.groups for part in group], session=session, store=store
    )
    summaries = aggregate_summaries(definition, plan, partitions, store=store)
    layout = layout_run(definition, plan, partitions, store=store)
    plan = replace(plan, request=replace(plan.request, run_id=run_id))  # the same rows, as of another run
    return StagedRun(plan=plan, partitions=partitions, summaries=summaries, layout=layout)


def render(definition: ReportDefinition, run: StagedRun, store: ObjectStore) -> tuple[RenderedFile, ...]:
    shards = [shard for group in run.layout.groups for shard in group]
    return render_workbooks(definition, run, shards, store=store)


@pytest.fixture
def definition(tmp_path: Path, fresh_database: str) -> ReportDefinition:
    fill_events(fresh_database)
    return events_report(tmp_path)


def test_second_writer_drops_its_files_and_adopts_the_first_ones(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    first, second = (stage(definition, fresh_database, bucket, run_id=run_id) for run_id in ("first", "second"))
    assert first.layout.run_key == second.layout.run_key
    files = [render(definition, run, bucket) for run in (first, second)]
    session = session_of(fresh_database)
    won = publish_run(definition, first, files[0], session=session, store=bucket)
    lost = publish_run(definition, second, files[1], session=session, store=bucket)
    assert (won.already_published, lost.already_published) == (False, True)
    assert lost.manifest == won.manifest
    kept = {file.key for file in won.manifest.files} | {manifest_key("events", first.layout.run_key)}
    assert {entry.key for entry in bucket.list("reports/")} == kept
    counted = {summary.object_key for summary in won.manifest.summaries}
    assert {entry.key for entry in bucket.list("summaries/")} == counted


def test_run_that_is_published_already_leaves_nothing_of_its_own(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    first = stage(definition, fresh_database, bucket)
    session = session_of(fresh_database)
    publish_run(definition, first, render(definition, first, bucket), session=session, store=bucket)
    before = {entry.key for entry in bucket.list("")}
    again = stage(definition, fresh_database, bucket, run_id="again")
    assert publish_run(definition, again, (), session=session, store=bucket).already_published
    assert {entry.key for entry in bucket.list("")} == before


def test_publish_tried_again_keeps_the_files_that_count(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    run = stage(definition, fresh_database, bucket)
    files = render(definition, run, bucket)
    session = session_of(fresh_database)
    first = publish_run(definition, run, files, session=session, store=bucket)
    again = publish_run(
        definition, run, files, session=session, store=bucket
    )  # as after a kill between manifest and answer
    assert again.manifest == first.manifest
    assert verify_run(first.manifest.run, store=bucket).faults == ()


@pytest.mark.parametrize("prefix", ["reports/", "summaries/"])
def test_run_whose_objects_are_gone_is_not_published(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore, prefix: str
) -> None:
    """As where it had failed, housekeeping took what it left for a killed run's, and it is taken up again then."""
    run = stage(definition, fresh_database, bucket)
    files = render(definition, run, bucket)
    gone = next(iter(bucket.list(prefix))).key
    bucket.delete([gone])
    with pytest.raises(IntegrityError, match=gone):
        publish_run(definition, run, files, session=session_of(fresh_database), store=bucket)
    assert bucket.size(manifest_key("events", run.layout.run_key)) is None


def test_render_that_fails_leaves_no_file(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    run = stage(definition, fresh_database, bucket)
    bucket.delete([run.partitions[2].object_key])
    with pytest.raises(IntegrityError, match="is not in the store"):
        render_workbooks(definition, run, run.layout.groups[2], store=bucket)
    assert [entry.key for entry in bucket.list("reports/")] == []
    assert bucket.client.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads", []) == []


def test_manifest_that_is_missing_is_told(bucket: ObjectStore) -> None:
    with pytest.raises(IntegrityError, match="was deleted, or never published"):
        read_manifest(bucket, "events", "0" * 32)


def test_run_whose_summaries_were_never_made_is_not_published(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    run = replace(stage(definition, fresh_database, bucket), summaries=())
    with pytest.raises(IntegrityError, match="was published, and then deleted"):
        publish_run(definition, run, (), session=session_of(fresh_database), store=bucket)
    assert not list(bucket.list("reports/"))


def test_manifest_and_about_tell_what_plan_files_and_tasks_warn_of(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    run = stage(definition, fresh_database, bucket)
    run = replace(run, plan=replace(run.plan, warnings=("The range ends in the future.",)))
    first, second, third = render(definition, run, bucket)
    files = (first, replace(second, notes=("2 texts were cut.",)), third)
    statement = StatementUsage(sql="SELECT ?", calls=11, rows=11, milliseconds=1)
    usage = (replace(TaskMeter("extract", "2013-01").usage(), statements=(statement,)),)
    manifest = publish_run(
        definition, run, files, session=session_of(fresh_database), store=bucket, usage=lambda: usage
    ).manifest
    told = ("The range ends in the future.", "events_2013-02.xlsx: 2 texts were cut.")
    assert manifest.warnings == told
    assert manifest.usage == usage
    about = sheet_rows(open_workbook(bucket, manifest.files[-1].key), "About")
    assert set(told) <= {cell for row in about for cell in row}


def test_manifest_says_what_was_asked_and_what_was_stored_before(
    tmp_path: Path, fresh_database: str, bucket: ObjectStore
) -> None:
    fill_events(fresh_database)
    definition = events_report(
        tmp_path,
        sql=SQL.replace("ORDER BY", "AND (%(kind)s::text IS NULL OR kind = %(kind)s) ORDER BY"),
        parameters={"kind": {"type": "string", "default": None}},
    )
    run = stage(definition, fresh_database, bucket)
    asked = replace(run.plan.request, parameters={"kind": "a"})
    first, *others = run.partitions
    run = replace(run, plan=replace(run.plan, request=asked), partitions=(replace(first, cache_hit=True), *others))
    files = render(definition, run, bucket)
    manifest = publish_run(definition, run, files, session=session_of(fresh_database), store=bucket).manifest
    assert manifest.parameters == {"kind": "a"}
    assert [part.stored for part in manifest.partitions] == [True, False, False]


def test_publish_whose_summary_cannot_be_stored_leaves_no_run(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore
) -> None:
    run = stage(definition, fresh_database, bucket)
    files = render(definition, run, bucket)

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if params["url_path"].endswith("_summary.xlsx"):
            raise StoreUnavailableError("away")

    bucket.client.meta.events.register("before-call.s3.PutObject", refuse)
    with pytest.raises(StoreUnavailableError, match="away"):
        publish_run(definition, run, files, session=session_of(fresh_database), store=bucket)
    assert bucket.size(manifest_key("events", run.layout.run_key)) is None


def test_summaries_without_rows_are_published_where_rows_would_share_their_workbook(
    tmp_path: Path, fresh_database: str, bucket: ObjectStore
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, workbook={"split": "none", "detail": False})
    run = stage(definition, fresh_database, bucket)
    manifest = publish_run(definition, run, (), session=session_of(fresh_database), store=bucket).manifest
    assert [file.name for file in manifest.files] == ["events_2013-01-01_2013-03-31_summary.xlsx"]
    about = sheet_rows(open_workbook(bucket, manifest.files[0].key), "About")
    assert [row[1] for row in about if row[0] == "Files of rows"] == [0]


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        ("2013-01-01", "2013-03-31", "events_2013-01-01_2013-03-31_summary.xlsx"),
        ("2013-02-01", "2013-02-28", "events_2013-02_summary.xlsx"),
        ("2013-02-03", "2013-02-05", "events_2013-02-03_2013-02-05_summary.xlsx"),
        ("2013-02-03", "2013-02-03", "events_2013-02-03_summary.xlsx"),
    ],
)
def test_summary_file_is_named_for_report_and_range(
    definition: ReportDefinition, fresh_database: str, bucket: ObjectStore, start: str, end: str, name: str
) -> None:
    request = request_of(definition, start, end)
    published = run_report(definition, request, session=session_of(fresh_database), store=bucket).published
    assert published.manifest.files[-1].name == name


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda files: files[1:], "events_2013-01.csv is missing among the files of the run"),
        (lambda files: (*files, files[1]), "events_2013-01.xlsx occurs 2 times among the files of the run"),
    ],
)
def test_run_is_published_with_each_of_its_files_once_or_not_at_all(
    tmp_path: Path, fresh_database: str, bucket: ObjectStore, change: Any, fault: str
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path, workbook={"formats": ["csv", "xlsx"]})
    run = stage(definition, fresh_database, bucket)
    files = render(definition, run, bucket)
    assert [file.name for file in files[:2]] == ["events_2013-01.csv", "events_2013-01.xlsx"]
    with pytest.raises(DamagedObjectError, match=fault):
        publish_run(definition, run, change(files), session=session_of(fresh_database), store=bucket)
    assert bucket.size(manifest_key("events", run.layout.run_key)) is None
