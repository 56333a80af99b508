"""Pages and notifications do not load stored summaries that would expand far beyond their limits."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.errors import DamagedObjectError, IntegrityError
from quire.notification_content.headline_totals import summary_totals
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.record_types.manifest import Manifest
from quire.record_types.stage_records import StagedSummary
from quire.report.definition import ReportDefinition
from quire.tables_and_charts.page_tables import MAX_ROWS, summary_tables

from tests.events import events_report, fill_events, request_of, session_of

pytestmark = pytest.mark.server

ONE_VALUE = pa.array(["x" * 1_000])
KEY = "summaries/events/forged.parquet"


def repeated(rows: int, value: pa.Array = ONE_VALUE) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), value)


FORGED: dict[str, pa.Table] = {
    "many rows": pa.table({"kind": repeated(3_000_000), "n": pa.array([1] * 3_000_000)}),
    "a long text in many rows": pa.table({"kind": repeated(500_000), "n": pa.array([1] * 500_000)}),
    "many texts in a row": pa.table({"kind": ["a"], "n": [["x"] * 100_000]}),
    "long values of fixed length": pa.table({"kind": pa.array([b"x" * 1_000], pa.binary(1_000)), "n": [1]}),
    "large pages": pa.table({"kind": ["a"] * 2, "n": ["x" * 70_000_000, "y" * 70_000_000]}),
}

SHOWN = ("a long text in many rows",)  # in this case, the first rows are small


@pytest.fixture
def definition(tmp_path: Path, fresh_database: str) -> ReportDefinition:
    fill_events(fresh_database)
    measures = {"n": {"agg": "count"}, "last": {"agg": "max", "of": "at"}, "sum": {"agg": "sum", "of": "amount"}}
    return events_report(tmp_path, summaries=[{"name": "Kinds", "by": ["kind"], "measures": measures}])


@pytest.fixture
def manifest(definition: ReportDefinition, fresh_database: str, bucket: S3Store) -> Manifest:
    session = session_of(fresh_database)
    return run_report(definition, request_of(definition), session=session, store=bucket).published.manifest


def forge(manifest: Manifest, table: pa.Table, store: S3Store) -> Manifest:
    """Returns a manifest with a forged summary that has these rows; the summary's size and SHA-256 are correct."""
    extra = {name: pa.array([None] * table.num_rows, pa.int64()) for name in ("last", "sum")}
    for name, values in extra.items():
        table = table.append_column(name, values)
    body = io.BytesIO()
    pq.write_table(table, body, compression="zstd", store_schema=False)
    stored = body.getvalue()
    store.put(KEY, stored)
    sha256 = hashlib.sha256(stored).hexdigest()
    summary: StagedSummary = replace(manifest.summaries[0], object_key=KEY, bytes=len(stored), sha256=sha256)
    return replace(manifest, summaries=(summary,))


@pytest.mark.parametrize("forged", FORGED)
def test_summary_that_expands_without_bounds_is_not_displayed(
    definition: ReportDefinition,
    manifest: Manifest,
    bucket: S3Store,
    monkeypatch: pytest.MonkeyPatch,
    forged: str,
) -> None:
    changed = forge(manifest, FORGED[forged], bucket)
    assert changed.summaries[0].bytes < 1_000_000
    displayed = summary_tables(definition, changed, store=bucket)
    assert [len(table.rows) for table in displayed] == ([MAX_ROWS] if forged in SHOWN else [])
    with pytest.raises(IntegrityError, match="too large to display"):
        summary_totals(definition, changed, store=bucket)


def test_summary_with_too_many_stored_bytes_is_not_read(
    definition: ReportDefinition, manifest: Manifest, bucket: S3Store
) -> None:
    changed = replace(manifest, summaries=(replace(manifest.summaries[0], bytes=2**40),))
    assert summary_tables(definition, changed, store=bucket) == []


def test_summary_that_is_not_parquet_is_damaged(
    definition: ReportDefinition, manifest: Manifest, bucket: S3Store
) -> None:
    bucket.put(KEY, b"PAR1")
    sha256 = hashlib.sha256(b"PAR1").hexdigest()
    summary = replace(manifest.summaries[0], object_key=KEY, bytes=4, sha256=sha256)
    with pytest.raises(DamagedObjectError, match="not a Parquet file"):
        summary_totals(definition, replace(manifest, summaries=(summary,)), store=bucket)


def test_unchanged_summary_is_displayed(definition: ReportDefinition, manifest: Manifest, bucket: S3Store) -> None:
    (table,) = summary_tables(definition, manifest, store=bucket)
    assert table.total_rows
    assert summary_totals(definition, manifest, store=bucket)
