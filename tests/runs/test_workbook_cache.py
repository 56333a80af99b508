"""Runs share workbooks with the same rows and appearance, and render only the others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from quire.csv_and_parquet.row_groups import write_row_groups
from quire.errors import StoreUnavailableError
from quire.object_store.commit_records import write_once
from quire.object_store.memory_store import MemoryStore
from quire.postgres.arrow_types import storage_schema
from quire.record_types.stage_records import (
    CachedWorkbook,
    LaidOutRun,
    RenderedFile,
    RunPlan,
    SourceColumn,
    StagedPartition,
)
from quire.report.definition import ReportDefinition
from quire.report.definition.workbook_options import FileFormat
from quire.runs.workbook_cache import WorkbookKeys
from quire.stages.layout import layout_run
from quire.stages.render import render_workbooks

from tests.events import DEFINITION, events_report, request_of
from tests.workbooks import open_workbook, sheet_rows

COLUMNS = (SourceColumn(name="at", pg_type="timestamptz"), SourceColumn(name="n", pg_type="int4"))
SQL = "SELECT at, n FROM events WHERE at >= %(start)s AND at < %(end)s AND n < %(top)s"
PLAIN: dict[str, Any] = {"columns": [], "summaries": [], "parameters": {"top": {"type": "integer", "default": 3}}}


@dataclass(frozen=True)
class Runs:
    """Lays out and renders runs from January on, whose partitions have the given row counts."""

    include: Path
    store: MemoryStore

    def define(self, **changes: Any) -> ReportDefinition:
        return events_report(self.include, sql=SQL, **{**PLAIN, **changes})

    def stage(
        self,
        definition: ReportDefinition,
        rows: list[int],
        *,
        formats: tuple[FileFormat, ...] = (),
        reusable: bool = True,
    ) -> LaidOutRun:
        end = ("2013-01-31", "2013-02-28", "2013-03-31")[len(rows) - 1]
        request = replace(request_of(definition, end=end), formats=formats)
        months = request.date_range.partitions(definition.partition)
        plan = RunPlan(request=request, source_digest="d" * 32, columns=COLUMNS)
        schema = storage_schema(COLUMNS)
        staged = []
        for month, count in zip(months, rows, strict=True):
            key = f"partitions/events/{month.key}_{count}.parquet"
            columns = [pa.array([0] * count, schema.field(0).type), pa.array(range(count), pa.int32())]
            with self.store.open_upload(key) as upload:
                write_row_groups([pa.Table.from_arrays(columns, schema=schema)], schema, sink=upload)
            staged.append(
                StagedPartition(
                    key=month.key, start=month.start, stop=month.stop, object_key=key, rows=count, bytes=upload.bytes,
                    sha256=upload.sha256, checksums=upload.checksums, freshness_token="t",
                    snapshot_at="2013-06-01T12:00:00+00:00", reusable=reusable,
                )
            )  # fmt: skip
        return layout_run(definition, plan, staged, store=self.store)

    def render(self, definition: ReportDefinition, laid_out: LaidOutRun) -> tuple[RenderedFile, ...]:
        shards = [shard for group in laid_out.groups for shard in group]
        return render_workbooks(definition, laid_out.run, shards, store=self.store)

    def keys(self, prefix: str = "workbooks/") -> set[str]:
        return {entry.key for entry in self.store.list(prefix)}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path, MemoryStore())


def names(laid_out: LaidOutRun) -> list[str]:
    """Returns the files that a run renders."""
    return [f"{shard.stem}.{name}" for group in laid_out.groups for shard in group for name in shard.keys]


def test_run_renders_only_workbooks_whose_rows_changed(runs: Runs) -> None:
    definition = runs.define()
    first = runs.render(definition, runs.stage(definition, [3, 2, 4]))
    again = runs.stage(definition, [3, 9, 4])
    assert names(again) == ["events_2013-02.xlsx"]
    assert again.run.layout.cached_files == tuple(replace(file, cache_hit=True) for file in (first[0], first[2]))
    assert names(runs.stage(definition, [3, 2])) == []


def test_run_renders_only_formats_that_are_not_cached(runs: Runs) -> None:
    definition = runs.define(workbook={"formats": ["xlsx"], "reader_formats": ["xlsx", "csv", "parquet"]})
    runs.render(definition, runs.stage(definition, [3], formats=("csv",)))
    again = runs.stage(definition, [3, 1], formats=("xlsx", "csv"))
    assert names(again) == ["events_2013-01.xlsx", "events_2013-02.xlsx", "events_2013-02.csv"]
    assert [file.name for file in again.run.layout.cached_files] == ["events_2013-01.csv"]
    assert [file.name for file in runs.render(definition, again)] == names(again)


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ({"summaries": DEFINITION["summaries"]}, True),
        ({"delivery": {"keep": "9d"}}, True),
        ({"title": "Incidents"}, False),
        ({"description": "All of them."}, False),
        ({"columns": [{"name": "n", "title": "Count"}]}, False),
        ({"timezone": "UTC"}, False),
        ({"parameters": {"top": {"type": "integer", "default": 4}}}, False),
    ],
)
def test_workbook_is_rendered_again_if_the_definition_changes_its_appearance(
    runs: Runs, change: dict[str, Any], shared: bool
) -> None:
    definition = runs.define()
    runs.render(definition, runs.stage(definition, [3]))
    assert (names(runs.stage(runs.define(**change), [3])) == []) is shared


def test_another_renderer_renders_all_workbooks_again(runs: Runs) -> None:
    definition = runs.define()
    laid_out = runs.stage(definition, [3])
    (shard,) = laid_out.groups[0]
    keys = {
        WorkbookKeys(definition, laid_out.run.plan, laid_out.run.partitions, renderer=renderer).key(shard, "xlsx")
        for renderer in (1, 2)
    }
    assert len(keys) == 2


def test_workbook_with_summaries_belongs_to_one_run(runs: Runs) -> None:
    definition = runs.define(workbook={"split": "none", "formats": ["xlsx", "csv"]})
    files = runs.render(definition, runs.stage(definition, [3, 2]))
    assert [file.key.split("/")[0] for file in files] == ["reports", "workbooks"]
    assert names(runs.stage(definition, [3, 2])) == ["events_2013-01-01_2013-02-28.xlsx"]


def test_rows_that_no_other_run_may_use_make_workbooks_of_one_run(runs: Runs) -> None:
    definition = runs.define()
    laid_out = runs.stage(definition, [3], reusable=False)
    (file,) = runs.render(definition, laid_out)
    assert file.key.startswith(f"reports/events/{laid_out.run.layout.run_key}/")
    assert runs.keys() == set()


def test_rows_split_at_other_positions_are_rendered_again(runs: Runs) -> None:
    definition = runs.define(workbook={"split": {"rows": 2}})
    runs.render(definition, runs.stage(definition, [2, 4, 2]))
    assert names(runs.stage(definition, [2, 4, 2])) == []
    assert names(runs.stage(definition, [2, 5, 1])) == ["events_2.xlsx", "events_3.xlsx", "events_4.xlsx"]


def test_shared_workbook_describes_its_rows_and_not_the_request(runs: Runs) -> None:
    definition = runs.define()
    files = runs.render(definition, runs.stage(definition, [3, 2]))
    workbook = open_workbook(runs.store, files[1].key)
    facts = {row[0]: row[1] for row in sheet_rows(workbook, "About") if len(row) > 1}
    assert (str(facts["First day"])[:10], str(facts["Last day"])[:10]) == ("2013-02-01", "2013-02-28")
    assert facts["Rows read"] == "2013-06-01 08:00:00 EDT"
    assert "Created" not in facts


@pytest.mark.parametrize(
    "damage", ["file deleted", "record cut", "record of another workbook", "file of another report"]
)
def test_damaged_workbook_is_rendered_again(runs: Runs, damage: str) -> None:
    definition = runs.define()
    january, february = runs.render(definition, runs.stage(definition, [3, 2]))
    record, other = (f"{file.key.rsplit('/', 2)[0]}.json" for file in (january, february))
    body = runs.store.read(record, max_bytes=10_000)
    assert body is not None
    if damage == "file deleted":
        runs.store.delete([january.key])
    elif damage == "record cut":
        runs.store.put(record, body[:-9])
    elif damage == "record of another workbook":
        runs.store.put(record, runs.store.read(other, max_bytes=10_000) or b"")
    else:
        forged = CachedWorkbook(
            key=record.removesuffix(".json").rpartition("/")[2],
            files=(replace(january, key=f"workbooks/secrets/x/y/{january.name}"),),
        )
        runs.store.delete([record])
        write_once(runs.store, record, forged)
    again = runs.stage(definition, [3, 2])
    assert names(again) == ["events_2013-01.xlsx"]
    (file,) = runs.render(definition, again)
    assert runs.store.has_size(file.key, file.bytes)
    assert names(runs.stage(definition, [3, 2])) == []


def test_concurrent_runs_keep_one_copy_of_each_workbook(runs: Runs) -> None:
    definition = runs.define()
    laid_out = [runs.stage(definition, [3, 2]) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        rendered = list(pool.map(lambda one: runs.render(definition, one), laid_out))
    assert len({tuple(file.key for file in files) for files in rendered}) == 1
    files = {file.key for file in rendered[0]}
    assert runs.keys() == files | {f"{key.rsplit('/', 2)[0]}.json" for key in files}


class FailingStore(MemoryStore):
    """A store in which ``fails`` decides which uploads fail."""

    fails: Callable[[str], bool] = staticmethod(lambda key: False)

    def open_upload(self, key: str, **options: Any) -> Any:
        if self.fails(key):
            raise StoreUnavailableError("the store is gone")
        return super().open_upload(key, **options)


def test_failed_render_keeps_committed_workbooks_and_nothing_else(tmp_path: Path) -> None:
    runs = Runs(tmp_path, FailingStore())
    definition = runs.define(workbook={"formats": ["csv", "xlsx"]})
    laid_out = runs.stage(definition, [3, 2])
    runs.store.fails = lambda key: key.endswith("2013-02.xlsx")  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailableError):
        runs.render(definition, laid_out)
    runs.store.fails = lambda key: False  # type: ignore[attr-defined]
    assert names(runs.stage(definition, [3, 2])) == ["events_2013-02.xlsx"]
    assert len(runs.keys()) == 6  # three files, and the record of each
    assert runs.keys("reports/") == set()
