"""Layout computes run keys and assigns rows to workbooks."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quire.object_store.commit_records import write_once
from quire.object_store.s3_store import S3Store
from quire.record_types.manifest import Manifest, manifest_key
from quire.record_types.stage_records import LaidOutRun, RunPlan, SourceColumn, StagedPartition, WorkbookShard
from quire.report.definition import ReportDefinition
from quire.runs import run_key
from quire.stages.layout import layout_run

from tests.events import events_report, request_of

pytestmark = pytest.mark.server


def planned(definition: ReportDefinition, **request: Any) -> RunPlan:
    return RunPlan(
        request=request_of(definition, **request),
        source_digest="d" * 32,
        columns=(SourceColumn(name="at", pg_type="timestamptz"),),
    )


def staged(
    definition: ReportDefinition, plan: RunPlan, rows: list[int], *, token: str = "t"
) -> tuple[StagedPartition, ...]:
    partitions = plan.request.date_range.partitions(definition.partition)
    return tuple(
        StagedPartition(
            key=partition.key,
            start=partition.start,
            stop=partition.stop,
            object_key=f"partitions/{partition.key}.parquet",
            rows=count,
            bytes=1,
            sha256="0",
            freshness_token=token,
        )
        for partition, count in zip(partitions, rows, strict=True)
    )


def layout(include: Path, store: S3Store, rows: list[int], **changes: Any) -> LaidOutRun:
    definition = events_report(include, **changes)
    plan = planned(definition)
    return layout_run(definition, plan, staged(definition, plan, rows), store=store)


def shards(laid_out: LaidOutRun) -> list[WorkbookShard]:
    return [shard for group in laid_out.groups for shard in group]


def test_split_by_partition_creates_a_workbook_for_each_even_if_empty(tmp_path: Path, bucket: S3Store) -> None:
    workbooks = shards(layout(tmp_path, bucket, [2, 0, 3]))
    assert [(shard.stem, shard.start.isoformat(), shard.end.isoformat()) for shard in workbooks] == [
        ("events_2013-01", "2013-01-01", "2013-01-31"),
        ("events_2013-02", "2013-02-01", "2013-02-28"),
        ("events_2013-03", "2013-03-01", "2013-03-31"),
    ]
    assert [[(part.partition, part.offset, part.rows) for part in shard.slices] for shard in workbooks] == [
        [("2013-01", 0, 2)],
        [("2013-02", 0, 0)],
        [("2013-03", 0, 3)],
    ]


def test_split_none_creates_one_workbook_with_all_rows(tmp_path: Path, bucket: S3Store) -> None:
    (shard,) = shards(layout(tmp_path, bucket, [2, 0, 3], workbook={"split": "none"}))
    assert shard.stem == "events_2013-01-01_2013-03-31"
    assert [part.rows for part in shard.slices] == [2, 0, 3]


@pytest.mark.parametrize(
    ("rows", "max_rows", "expected"),
    [
        ([2, 0, 3], 2, [[("2013-01", 0, 2)], [("2013-03", 0, 2)], [("2013-03", 2, 1)]]),
        ([2, 0, 3], 4, [[("2013-01", 0, 2), ("2013-03", 0, 2)], [("2013-03", 2, 1)]]),
        ([2, 2, 2], 6, [[("2013-01", 0, 2), ("2013-02", 0, 2), ("2013-03", 0, 2)]]),
        ([0, 0, 0], 6, [[("2013-01", 0, 0), ("2013-02", 0, 0), ("2013-03", 0, 0)]]),
    ],
)
def test_split_by_rows_keeps_order_and_every_row(
    tmp_path: Path, bucket: S3Store, rows: list[int], max_rows: int, expected: list[Any]
) -> None:
    workbooks = shards(layout(tmp_path, bucket, rows, workbook={"split": {"rows": max_rows}}))
    assert [[(part.partition, part.offset, part.rows) for part in shard.slices] for shard in workbooks] == expected
    assert len({shard.stem for shard in workbooks}) == len(workbooks)


def test_report_without_detail_has_no_shards(tmp_path: Path, bucket: S3Store) -> None:
    assert layout(tmp_path, bucket, [1, 1, 1], workbook={"detail": False}).groups == ()


def test_many_workbooks_form_at_most_64_groups(tmp_path: Path, bucket: S3Store) -> None:
    laid_out = layout(tmp_path, bucket, [1000, 1, 0], workbook={"split": {"rows": 1}})
    assert len(laid_out.groups) <= 64
    assert len(shards(laid_out)) == 1001


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "0 6 1 * *"},
        {"window": "3 months"},
        {"delivery": {"link_ttl": "2h"}},
        {"queues": {"render": "large"}},
        {"pools": {"render": "large"}},
        {"source": {"timeout": "5m", "parallel": 1}},
    ],
)
def test_run_key_ignores_settings_that_affect_neither_rows_nor_files(
    tmp_path: Path, bucket: S3Store, changes: dict[str, Any]
) -> None:
    first = layout(tmp_path, bucket, [1, 1, 1])
    assert first.run.layout.run_key == layout(tmp_path, bucket, [1, 1, 1]).run.layout.run_key
    assert first.run.layout.run_key == layout(tmp_path, bucket, [1, 1, 1], **changes).run.layout.run_key


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Other"},
        {"description": "Other"},
        {"source": {"tables": ["public.events"]}},
        {"timezone": "Europe/Berlin"},
        {"columns": []},
        {"columns": [{"name": "at", "title": "When", "format": "yyyy"}]},
        {"summaries": []},
        {"workbook": {"split": "none"}},
        {"workbook": {"split": {"rows": 5}}},
        {"workbook": {"formats": ["csv"]}},
        {"workbook": {"formats": ["xlsx", "csv"]}},
    ],
)
def test_run_key_depends_on_the_definition(tmp_path: Path, bucket: S3Store, changes: dict[str, Any]) -> None:
    first = layout(tmp_path, bucket, [1, 1, 1])
    assert first.run.layout.run_key != layout(tmp_path, bucket, [1, 1, 1], **changes).run.layout.run_key


@pytest.mark.parametrize(
    ("request_changes", "token", "source_digest"),
    [
        ({"start": "2013-01-02"}, "t", "d"),
        ({"end": "2013-03-30"}, "t", "d"),
        ({"parameters": {"kind": "a"}}, "t", "d"),
        ({"parameters": {"kind": None}}, "t", "d"),
        ({}, "u", "d"),
        ({}, "t", "e"),
    ],
)
def test_run_key_depends_on_range_parameters_tokens_and_source(
    tmp_path: Path, bucket: S3Store, request_changes: dict[str, Any], token: str, source_digest: str
) -> None:
    definition = events_report(tmp_path)
    plan = planned(definition)
    parameters = request_changes.pop("parameters", {})
    other = planned(definition, **request_changes)
    other = replace(other, request=replace(other.request, parameters=parameters), source_digest=source_digest * 32)
    first = layout_run(definition, plan, staged(definition, plan, [1, 1, 1]), store=bucket)
    assert (
        first.run.layout.run_key
        != layout_run(
            definition, other, staged(definition, other, [1, 1, 1], token=token), store=bucket
        ).run.layout.run_key
    )


def test_run_key_depends_on_the_formats_whether_requested_or_defined(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path)
    workbook = definition.workbook.model_copy(update={"formats": ("csv",)})
    defined = definition.model_copy(update={"workbook": workbook})
    plan = planned(definition)
    requested = replace(plan, request=replace(plan.request, formats=("csv",)))
    keys = [
        run_key.compute_run_key(*inputs, {"2013-01": "token"})
        for inputs in ((definition, plan), (definition, requested), (defined, plan))
    ]
    assert keys[0] != keys[1] == keys[2]


def test_run_key_is_equal_for_runs_of_the_same_request(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path)
    plans = [planned(definition, run_id=run_id) for run_id in ("one", "two")]
    assert (
        len(
            {
                layout_run(definition, plan, staged(definition, plan, [1, 1, 1]), store=bucket).run.layout.run_key
                for plan in plans
            }
        )
        == 1
    )


def test_run_key_depends_on_the_renderer_version(tmp_path: Path, bucket: S3Store) -> None:
    run = layout(tmp_path, bucket, [1, 1, 1]).run
    tokens = {part.key: part.freshness_token for part in run.partitions}
    assert run_key.RENDERER >= 2  # version 1 formatted timestamps and floats differently in CSV files
    keys = [
        run_key.compute_run_key(events_report(tmp_path), run.plan, tokens, renderer=version)
        for version in (run_key.RENDERER, run_key.RENDERER - 1)
    ]
    assert keys[0] == run.layout.run_key
    assert keys[1] != run.layout.run_key


def test_published_run_is_not_rendered_again(tmp_path: Path, bucket: S3Store) -> None:
    first = layout(tmp_path, bucket, [1, 1, 1])
    assert not first.run.layout.already_published
    manifest = Manifest(
        report="events", run=first.run.layout.run_key, run_id="one", title="Events", made_at="2013-04-01T00:00Z",
        start=dt.date(2013, 1, 1), end=dt.date(2013, 3, 31), timezone="UTC", parameters={}, rows=3,
        partitions=(), summaries=(), files=(),
    )  # fmt: skip
    assert write_once(bucket, manifest_key("events", first.run.layout.run_key), manifest)
    again = layout(tmp_path, bucket, [1, 1, 1])
    assert again.run.layout == replace(first.run.layout, already_published=True, file_names=())
    assert again.groups == ()


def test_shard_of_a_clipped_partition_is_named_after_both_days(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path)
    plan = planned(definition, start="2013-01-10", end="2013-01-20")
    (shard,) = shards(layout_run(definition, plan, staged(definition, plan, [1]), store=bucket))
    assert shard.stem == "events_2013-01-10_2013-01-20"
    assert (shard.start, shard.end) == (dt.date(2013, 1, 10), dt.date(2013, 1, 20))


@pytest.mark.parametrize("split", ["partition", "none"])
def test_shard_of_one_day_is_named_after_it_once(tmp_path: Path, bucket: S3Store, split: str) -> None:
    definition = events_report(tmp_path, workbook={"split": split})
    plan = planned(definition, start="2013-01-10", end="2013-01-10")
    (shard,) = shards(layout_run(definition, plan, staged(definition, plan, [1]), store=bucket))
    assert shard.stem == "events_2013-01-10"


def test_split_by_rows_numbers_workbooks_and_gives_each_its_dates(tmp_path: Path, bucket: S3Store) -> None:
    many = shards(layout(tmp_path, bucket, [8, 0, 3], workbook={"split": {"rows": 1}}))
    assert [shard.stem for shard in many] == [f"events_{number:02d}" for number in range(1, 12)]
    workbooks = shards(layout(tmp_path, bucket, [2, 0, 3], workbook={"split": {"rows": 4}}))
    assert [(shard.start.isoformat(), shard.end.isoformat()) for shard in workbooks] == [
        ("2013-01-01", "2013-03-31"),
        ("2013-03-01", "2013-03-31"),
    ]


def test_single_workbook_of_one_full_partition_has_its_name(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path, workbook={"split": "none"})
    plan = planned(definition, end="2013-01-31")
    (shard,) = shards(layout_run(definition, plan, staged(definition, plan, [1]), store=bucket))
    assert shard.stem == "events_2013-01"
