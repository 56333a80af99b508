"""A partial summary computed while rows are being stored equals a summary computed from the stored rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from quire.aggregation.measures import partial_groups, partial_schema
from quire.aggregation.partial_builder import MIN_MERGED_ROWS, PartialSummaryBuilder
from quire.aggregation.partial_summaries import mergeable_summaries, read_partials
from quire.csv_and_parquet.row_groups import cut_row_groups
from quire.errors import QueryError
from quire.object_store.s3_store import S3Store
from quire.pipeline import store_partitions
from quire.postgres.arrow_types import storage_schema
from quire.record_types.stage_records import SourceColumn
from quire.report.definition import Summary
from quire.stages.plan import plan_partitions

from tests.aggregation.test_partial_summaries import probed
from tests.events import ZONE, fill_many_events, request_of, session_of
from tests.fast_mode import sized

COLUMNS = (
    SourceColumn(name="at", pg_type="timestamptz"),
    SourceColumn(name="kind", pg_type="text"),
    SourceColumn(name="number", pg_type="int8"),
    SourceColumn(name="amount", pg_type="numeric(12,2)"),
    SourceColumn(name="weight", pg_type="numeric"),
    SourceColumn(name="share", pg_type="float8"),
)
SCHEMA = storage_schema(COLUMNS)
START = dt.datetime(2013, 1, 1, tzinfo=dt.UTC)
MEASURES: dict[str, Any] = {
    "rows": {"agg": "count"},
    "numbers": {"agg": "sum", "of": "number"},
    "doubled": {"agg": "sum", "of": "number * 2"},
    "total": {"agg": "sum", "of": "amount"},
    "weights": {"agg": "mean", "of": "weight"},
    "least": {"agg": "min", "of": "share"},
    "most": {"agg": "max", "of": "share"},
}
BY_KIND = Summary.model_validate({"name": "By kind", "by": ["kind"], "measures": MEASURES})
BY_NUMBER = Summary.model_validate({"name": "By number", "by": ["number"], "measures": MEASURES})
BY_DAY = Summary.model_validate(
    {"name": "By day", "by": [{"column": "at", "every": "day"}, "kind"], "measures": MEASURES}
)


def batches(rows: int, *, size: int = 10_000, weight: str | None = None) -> Iterator[pa.RecordBatch]:
    for first in range(0, rows, size):
        numbers = range(first, min(first + size, rows))
        yield pa.RecordBatch.from_pydict(
            {
                "at": [START + dt.timedelta(minutes=number) for number in numbers],
                "kind": [("abc"[number % 3] if number % 7 else None) for number in numbers],
                "number": list(numbers),
                "amount": [Decimal(number) / 100 if number % 5 else None for number in numbers],
                "weight": [weight or f"{number}.125" for number in numbers],
                "share": [float("nan") if number % 1_000 == 0 else number / 4 for number in numbers],
            },
            SCHEMA,
        )


def build(
    summaries: list[Summary],
    arriving: Iterator[pa.RecordBatch],
    *,
    group_rows: int,
    min_merged_rows: int = MIN_MERGED_ROWS,
) -> list[pl.DataFrame]:
    builder = PartialSummaryBuilder(
        summaries, COLUMNS, timezone=ZONE, partition="2013-01", min_merged_rows=min_merged_rows
    )
    for _ in builder.observe(cut_row_groups(arriving, SCHEMA, max_rows=group_rows)):
        pass
    return builder.frames()


def at_once(summary: Summary, rows: int) -> pl.DataFrame:
    """Returns the partial summary for all rows, computed by a single query."""
    table = pl.DataFrame(pa.Table.from_batches(batches(rows), SCHEMA))
    return partial_groups(table.lazy(), summary, COLUMNS, timezone=ZONE).collect(engine="in-memory")


@pytest.mark.parametrize("group_rows", [100, 9_999, 65_536])
def test_builder_with_groups_of_rows_equals_a_single_query(group_rows: int) -> None:
    summaries = [BY_KIND, BY_DAY]
    frames = build(summaries, batches(10_000, size=1_000), group_rows=group_rows)
    for summary, frame in zip(summaries, frames, strict=True):
        expected = at_once(summary, 10_000)
        keys = [key.column for key in summary.by]
        assert frame.schema == expected.schema == partial_schema(summary, COLUMNS, timezone=ZONE)
        assert frame.sort(keys).equals(expected.sort(keys))


def test_builder_with_many_groups_merges_all() -> None:
    min_rows = sized(MIN_MERGED_ROWS, fast=MIN_MERGED_ROWS // 5)
    rows = 2 * min_rows + 1_000
    repeated = (batch for _ in range(2) for batch in batches(rows))
    (frame,) = build([BY_NUMBER], repeated, group_rows=sized(65_536, fast=8_192), min_merged_rows=min_rows)
    assert frame.height == rows
    assert set(frame["measure 0"]) == {2}
    assert frame["measure 1"].sum() == rows * (rows - 1)


def test_builder_forwards_every_row() -> None:
    builder = PartialSummaryBuilder([BY_KIND], COLUMNS, timezone=ZONE, partition="2013-01")
    groups = list(builder.observe(cut_row_groups(batches(10_000, size=3_000), SCHEMA, max_rows=4_096)))
    assert [group.num_rows for group in groups] == [4_096, 4_096, 1_808]
    passed, expected = pa.concat_tables(groups), pa.Table.from_batches(batches(10_000), SCHEMA)
    assert passed.select(["at", "number", "weight"]).equals(expected.select(["at", "number", "weight"]))


def test_builder_with_unsummable_values_forwards_rows_and_then_fails() -> None:
    builder = PartialSummaryBuilder([BY_KIND], COLUMNS, timezone=ZONE, partition="2013-01")
    groups = cut_row_groups(batches(3_000, weight="NaN"), SCHEMA, max_rows=1_000)
    assert sum(group.num_rows for group in builder.observe(groups)) == 3_000
    with pytest.raises(QueryError, match=r"the summaries of 2013-01: .*NaN"):
        builder.frames()


class WatchedStore(S3Store):
    """A store that records the key of each object read from it."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.reads: list[str] = []

    def read(self, key: str, **limits: int) -> bytes | None:
        self.reads.append(key)
        return super().read(key, **limits)

    def read_range(self, key: str, start: int, size: int) -> bytes:
        self.reads.append(key)
        return super().read_range(key, start, size)


def test_extract_stores_partial_summaries_without_reading_rows_back(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_many_events(fresh_database, 2999, minutes=40)
    definition, session, store = probed(tmp_path), session_of(fresh_database), WatchedStore(bucket.settings)
    request = request_of(definition, "2013-01-01", "2013-04-30")
    partitions = store_partitions(definition, request, session=session, store=store)
    assert not [key for key in store.reads if key.endswith(".parquet")]
    stored = [entry.key for entry in bucket.list("partitions/")]
    assert len([key for key in stored if key.count("/") == 5 and key.endswith(".json")]) == 3
    planned = plan_partitions(definition, request, session=session, store=store)
    streamed = read_partials(definition, planned.plan, partitions, store=bucket)
    bucket.delete([key for key in stored if key.count("/") == 5 and key.endswith(".json")])
    computed = read_partials(definition, planned.plan, partitions, store=store)
    assert {partition.object_key for partition in partitions if partition.rows} <= set(store.reads)
    for frames, others in zip(streamed, computed, strict=True):
        for summary, frame, other in zip(mergeable_summaries(definition), frames, others, strict=True):
            keys = [key.column for key in summary.by]
            assert_equal_frames(frame.sort(keys), other.sort(keys))


def assert_equal_frames(frame: pl.DataFrame, other: pl.DataFrame) -> None:
    """Asserts that two frames are equal, except for the last digits in sums of floats."""
    from polars.testing import assert_frame_equal

    exact = [name for name, kind in frame.schema.items() if not kind.is_float()]
    assert frame.select(exact).equals(other.select(exact))
    assert_frame_equal(frame, other, rel_tol=1e-12)
