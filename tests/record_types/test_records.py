"""Records that stages pass to each other survive a round trip through JSON, as in Airflow's XComs."""

from __future__ import annotations

import dataclasses
import inspect
import json
from datetime import date
from typing import Any, ClassVar

import pytest
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema
from quire.date_range import DatePartition
from quire.errors import IntegrityError
from quire.record_types import manifest, stage_records
from quire.record_types.manifest import Manifest, ManifestPartition, PublishedRun
from quire.record_types.serialization import digest, from_json, to_json
from quire.record_types.stage_records import (
    CachedWorkbook,
    LaidOutRun,
    PartialSummaries,
    PartitionStatistics,
    PlannedRun,
    QueryEstimate,
    RenderedFile,
    RowSlice,
    RunLayout,
    RunPlan,
    SourceColumn,
    StagedPartition,
    StagedRun,
    StagedSummary,
    StatementUsage,
    TaskUsage,
    WorkbookShard,
)
from quire.report import request
from quire.report.request import RunRequest

START, END, STOP = date(2013, 1, 1), date(2013, 1, 31), date(2013, 2, 1)
PARTITION = DatePartition(key="2013-01", start=START, stop=STOP, timezone="America/New_York")
REQUEST = RunRequest(
    report="flights",
    start=START,
    end=END,
    timezone="America/New_York",
    parameters={"carrier": None, "name": "Ünïcode ' \" \\", "since": "2013-01-01", "share": 0.1, "all": True},
    force=True,
    run_id="manual__2013-02-01T00:00:00+00:00",
    made_at="2013-02-01T06:00:00+00:00",
)
SLICE = RowSlice(
    partition="2013-01",
    object_key="partitions/flights/2013-01.parquet",
    bytes=9,
    checksums="0" * 8,
    offset=5,
    rows=27_004,
)
SHARD = WorkbookShard(
    stem="flights_2013-01", start=START, end=END, slices=(SLICE, SLICE), keys={"xlsx": None, "parquet": "d" * 32}
)
FILE = RenderedFile(
    name="flights_2013-01.xlsx",
    key=f"reports/flights/{'a' * 32}/flights_2013-01.xlsx",
    rows=27_004,
    bytes=2**40,
    sha256="0" * 64,
    start=START,
    end=END,
    notes=("2 texts were cut.",),
)
CACHED_WORKBOOK = CachedWorkbook(key="c" * 32, files=(FILE, FILE))
STATEMENT = StatementUsage(sql="SELECT ?", calls=2, rows=2, milliseconds=1.5)
USAGE = TaskUsage(
    stage="extract",
    task="2013-01",
    units=1,
    rows=27_004,
    bytes=1,
    seconds=1.5,
    cpu_seconds=1.0,
    peak_rss_bytes=2**28,
    statements=(STATEMENT,),
)
MANIFEST = Manifest(
    report="flights",
    run="a" * 32,
    run_id="manual",
    title="Flights",
    made_at="2013-02-01T06:00:00+00:00",
    start=START,
    end=END,
    timezone="America/New_York",
    parameters=REQUEST.parameters,
    rows=27_004,
    partitions=(
        ManifestPartition(
            key="2013-01", rows=27_004, bytes=1, sha256="0" * 64, object_key="partitions/flights/x", stored=True
        ),
    ),
    summaries=(
        StagedSummary(name="By airline", rows=16, bytes=900, sha256="0" * 64, object_key="summaries/flights/k"),
    ),
    files=(FILE,),
    warnings=("Beware.",),
    usage=(USAGE,),
)
STAGED = StagedPartition(
    key="2013-01",
    start=START,
    stop=STOP,
    object_key="partitions/x.parquet",
    rows=0,
    bytes=1,
    sha256="0" * 64,
    freshness_token="t",
    cache_hit=True,
    statistics=PartitionStatistics(earliest="2013-01-01", latest="2013-01-31", nulls={"note": 3}),
)
LAYOUT = RunLayout(
    run_key="a" * 32,
    already_published=False,
    file_names=("flights_2013-01.xlsx",),
    cached_files=(FILE,),
    summaries_with_rows=False,
)
PLAN = RunPlan(
    request=REQUEST,
    source_digest="b" * 32,
    columns=(SourceColumn(name="distance", pg_type="integer"),),
    warnings=("The range ends in the future.",),
)
RUN = StagedRun(plan=PLAN, partitions=(STAGED,), layout=LAYOUT)
SUMMARY = StagedSummary(name="By airline", object_key="reports/x.parquet", rows=16, bytes=900, sha256="0" * 64)
ESTIMATE = QueryEstimate(rows=27_004.0, cost=1_234.5)
RECORDS = (
    CACHED_WORKBOOK,
    REQUEST,
    SourceColumn(name="distance", pg_type="numeric(12,2)"),
    PLAN,
    STAGED,
    STAGED.statistics,
    STATEMENT,
    USAGE,
    SUMMARY,
    SLICE,
    SHARD,
    LAYOUT,
    ESTIMATE,
    PlannedRun(plan=PLAN, cached=(STAGED,), groups=((PARTITION, PARTITION), (PARTITION,))),
    RUN,
    LaidOutRun(run=RUN, groups=((SHARD,), ())),
    FILE,
    MANIFEST.partitions[0],
    MANIFEST.summaries[0],
    PartialSummaries(summaries=(SUMMARY,)),
    MANIFEST,
    PublishedRun(manifest=MANIFEST, already_published=True),
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_record_through_json_and_back_is_equal(record: Any) -> None:
    assert from_json(type(record), json.loads(json.dumps(to_json(record)))) == record


def test_all_records_of_the_module_are_tested_and_frozen() -> None:
    declared = {
        kind
        for module in (stage_records, manifest, request)
        for _, kind in inspect.getmembers(module, dataclasses.is_dataclass)
        if inspect.isclass(kind) and kind.__module__ == module.__name__
    }
    assert {type(record) for record in RECORDS} == declared
    assert all(kind.__dataclass_params__.frozen for kind in declared)  # type: ignore[attr-defined]


def test_sequence_of_records_through_json_and_back_is_equal() -> None:
    again = from_json(tuple[StagedSummary, ...], json.loads(json.dumps(to_json([SUMMARY, SUMMARY]))))
    assert again == (SUMMARY, SUMMARY)


def test_from_json_of_an_invalid_value_fails_in_one_line_with_its_source() -> None:
    with pytest.raises(
        IntegrityError, match=r"^reports/x/manifest\.json is not a valid Manifest: report: Field required$"
    ):
        from_json(Manifest, {}, source="reports/x/manifest.json")


def test_digest_ignores_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": date(2013, 1, 1)}) == digest({"b": "2013-01-01", "a": 1})
    assert digest(REQUEST) == digest(dataclasses.replace(REQUEST))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("ab", "c"), ("a", "bc")),
        ((["a", "b"],), (["b", "a"],)),
        ((1,), ("1",)),
        ((None,), ("null",)),
        ((True,), (1,)),
        ((REQUEST,), (dataclasses.replace(REQUEST, force=False),)),
    ],
)
def test_digest_of_different_parts_differs(first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
    assert digest(*first) != digest(*second)


def test_digest_is_stable_across_versions() -> None:
    """Object keys depend on the digest. The expected value is sha256sum's output for the JSON without spaces."""
    assert digest("flights", {"a": [1, None]}) == "2982e7006e0e1d24bb190d3c6702d664"


class CountedText(str):
    """A text type that counts how often pydantic builds a validator for it."""

    builds: ClassVar[int] = 0

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        cls.builds += 1
        return handler(str)


@dataclasses.dataclass(frozen=True)
class CountedRecord:
    """A record with a field whose validator is counted."""

    text: CountedText


def test_from_json_of_many_records_builds_one_validator_per_type() -> None:
    builds = []
    for _ in range(3):
        from_json(CountedRecord, {"text": "a"})
        from_json(tuple[CountedRecord, ...], [{"text": "a"}])
        builds.append(CountedText.builds)
    assert builds == [2, 2, 2]
