"""An About sheet contains its own workbook's row counts, regardless of how partitions and files divide the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from quire.csv_and_parquet.row_groups import write_row_groups
from quire.object_store.s3_store import S3Store
from quire.postgres.arrow_types import storage_schema
from quire.record_types.stage_records import RunPlan, SourceColumn, StagedPartition
from quire.stages.layout import layout_run
from quire.stages.render import render_workbooks
from quire.tables_and_charts.about_sheet import about_sheet
from quire.xlsx.detail_sheets import Limits

from tests.events import events_report, request_of
from tests.workbooks import open_workbook, sheet_rows

COLUMNS = (SourceColumn(name="at", pg_type="timestamptz"), SourceColumn(name="n", pg_type="int4"))


def rows_in_about(
    include: Path, store: S3Store, rows: list[int], split: Any, *, limits: Limits | None = None
) -> dict[str, tuple[int, dict[str, int]]]:
    """Renders January to March with the given row counts.

    Returns each file's row count, and the row counts in its About sheet, keyed by part.
    """
    definition = events_report(include, columns=[], summaries=[], workbook={"split": split})
    request = request_of(definition)
    months = request.date_range.partitions(definition.partition)
    plan = RunPlan(request=request, source_digest="d" * 32, columns=COLUMNS)
    schema = storage_schema(COLUMNS)
    staged = []
    for month, count in zip(months, rows, strict=True):
        columns = [pa.array([0] * count, schema.field(0).type), pa.array(range(count), pa.int32())]
        with store.open_upload(f"{month.key}.parquet") as upload:
            write_row_groups([pa.Table.from_arrays(columns, schema=schema)], schema, sink=upload)
        staged.append(
            StagedPartition(
                key=month.key,
                start=month.start,
                stop=month.stop,
                object_key=f"{month.key}.parquet",
                rows=count,
                bytes=upload.bytes,
                sha256="0",
                checksums=upload.checksums,
                freshness_token="t",
            )
        )
    laid_out = layout_run(definition, plan, staged, store=store)
    shards = [shard for group in laid_out.groups for shard in group]
    files = render_workbooks(definition, laid_out.run, shards, store=store, limits=limits)
    return {file.name: (file.rows, about_rows(store, file.key)) for file in files}


def about_rows(store: S3Store, key: str) -> dict[str, int]:
    """Returns the row counts in the About sheet, keyed by part."""
    rows = sheet_rows(open_workbook(store, key), "About")
    (header,) = (place for place, row in enumerate(rows) if [cell for cell in row if cell != ""][:1] == ["Period"])
    cells = [[cell for cell in row if cell != ""] for row in rows[header + 1 :]]
    return {row[0]: int(row[-1]) for row in cells if row}


def test_about_of_a_partition_workbook_has_its_rows(tmp_path: Path, bucket: S3Store) -> None:
    assert rows_in_about(tmp_path, bucket, [3, 0, 2], "partition") == {
        "events_2013-01.xlsx": (3, {"2013-01": 3}),
        "events_2013-02.xlsx": (0, {"2013-02": 0}),
        "events_2013-03.xlsx": (2, {"2013-03": 2}),
    }


def test_about_of_a_single_workbook_has_all_rows(tmp_path: Path, bucket: S3Store) -> None:
    assert rows_in_about(tmp_path, bucket, [3, 0, 2], "none") == {
        "events_2013-01-01_2013-03-31.xlsx": (5, {"2013-01": 3, "2013-02": 0, "2013-03": 2})
    }


def test_about_counts_only_the_rows_in_its_workbook(tmp_path: Path, bucket: S3Store) -> None:
    assert rows_in_about(tmp_path, bucket, [3, 0, 6], {"rows": 4}) == {
        "events_1.xlsx": (4, {"2013-01": 3, "2013-03": 1}),
        "events_2.xlsx": (4, {"2013-03": 4}),
        "events_3.xlsx": (1, {"2013-03": 1}),
    }


def test_about_without_rows_lists_each_part(tmp_path: Path, bucket: S3Store) -> None:
    assert rows_in_about(tmp_path, bucket, [0, 0, 0], {"rows": 4}) == {
        "events_2013-01-01_2013-03-31.xlsx": (0, {"2013-01": 0, "2013-02": 0, "2013-03": 0})
    }


@pytest.mark.parametrize("rows", [[20_000, 0, 30_000], [0, 20_000, 0], [8_192, 8_192, 0]])
def test_about_of_a_second_file_has_the_rows_of_that_file(tmp_path: Path, bucket: S3Store, rows: list[int]) -> None:
    files = rows_in_about(tmp_path, bucket, rows, "none", limits=Limits(file_bytes=60_000, sheet_bytes=60_000))
    assert len(files) > 1
    assert list(files)[1] == "events_2013-01-01_2013-03-31_part2.xlsx"
    for count, counts in files.values():
        assert sum(counts.values()) == count
    totals: dict[str, int] = {}
    for _, counts in files.values():
        for part, count in counts.items():
            totals[part] = totals.get(part, 0) + count
    assert totals == dict(zip(("2013-01", "2013-02", "2013-03"), rows, strict=True))
    empty = [part for part, count in totals.items() if not count]
    assert sum(part in counts for _, counts in files.values() for part in empty) == len(empty)


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        (
            [],
            [
                "No values were truncated. Times are precise to the millisecond; "
                "numbers with more than 15 digits are written as text."
            ],
        ),
        (["N: 1 text was cut."], ["N: 1 text was cut."]),
    ],
)
def test_about_claims_no_more_precision_than_cells_have(tmp_path: Path, notes: list[str], expected: list[str]) -> None:
    definition = events_report(tmp_path, columns=[], summaries=[])
    request = request_of(definition)
    dates = (request.start, request.end)
    sheet = about_sheet(definition, request, dates=dates, created=True, staged=[], contents={}, notes=notes)
    (section,) = (section for section in sheet.sections if section.heading == "Changed or omitted values")
    assert [row[0] for row in section.rows] == expected
