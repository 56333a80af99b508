"""Headline totals are computed from the first summary in the store."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from quire.errors import IntegrityError
from quire.notification_content.headline_totals import summary_totals
from quire.object_store.s3_store import S3Store
from quire.record_types.manifest import Manifest
from quire.record_types.stage_records import StagedSummary
from quire.report.definition import ReportDefinition

pytestmark = pytest.mark.server

KEY = "partitions/sales/summary.parquet"
MEASURES: dict[str, dict[str, Any]] = {
    "orders": {"agg": "count", "format": "#,##0"},
    "amount": {"agg": "sum", "of": "amount", "title": "Amount (EUR)", "format": "#,##0.00"},
    "least": {"agg": "min", "of": "amount"},
    "most": {"agg": "max", "of": "amount"},
    "mean": {"agg": "mean", "of": "amount"},
    "kinds": {"agg": "n_unique", "of": "kind"},
}
TABLE = pa.table(
    {
        "kind": ["a", "b", None],
        "orders": pa.array([1200, 34, 1], pa.int64()),
        "amount": pa.array([Decimal("0.10"), Decimal("1234.20"), None], pa.decimal128(38, 2)),
        "least": pa.array([float("nan"), 2.5, 7.5]),
        "most": pa.array([9.5, 2.5, float("nan")]),
        "mean": pa.array([1.0, 2.0, 3.0]),
        "kinds": pa.array([1, 1, 0], pa.int64()),
    }
)
MANIFEST = Manifest(
    report="sales", run="ab12", run_id="x", title="Sales", made_at="", start=date(2026, 1, 1), end=date(2026, 1, 31),
    timezone="UTC", parameters={}, rows=1235, partitions=(), files=(),
    summaries=(StagedSummary(name="By kind", object_key=KEY, rows=3, bytes=1, sha256=""),),
)  # fmt: skip


def sales(*, name: str = "By kind", **more: dict[str, Any]) -> ReportDefinition:
    return ReportDefinition.model_validate(
        {
            "name": "sales",
            "source": {"sql": "a.sql", "time_column": "t"},
            "partition": "month",
            "summaries": [{"name": name, "by": ["kind"], "measures": {**MEASURES, **more}}],
        }
    )


def published(bucket: S3Store, table: pa.Table = TABLE) -> Manifest:
    """Stores a summary, and returns a manifest that lists it."""
    body = io.BytesIO()
    pq.write_table(table, body)
    data = body.getvalue()
    bucket.put(KEY, data)
    summary = replace(MANIFEST.summaries[0], bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return replace(MANIFEST, summaries=(summary,))


def test_summary_totals_combine_groups_and_use_the_formats_of_the_sheet(bucket: S3Store) -> None:
    assert summary_totals(sales(), published(bucket), store=bucket) == (
        ("Orders", "1,235"),
        ("Amount (EUR)", "1,234.30"),
        ("Least", "2.5"),
        ("Most", "9.5"),
    )


def test_summary_totals_without_rows_are_empty(bucket: S3Store) -> None:
    assert summary_totals(sales(), published(bucket, TABLE.slice(0, 0)), store=bucket) == ()


@pytest.mark.parametrize("definition", [sales(name="By sort"), sales(later={"agg": "count"})])
def test_summary_totals_of_a_changed_summary_are_empty(bucket: S3Store, definition: ReportDefinition) -> None:
    manifest = published(bucket)
    assert summary_totals(definition, manifest, store=bucket) == ()
    assert summary_totals(definition, replace(manifest, summaries=()), store=bucket) == ()


def test_summary_totals_of_a_missing_or_damaged_summary_raise(bucket: S3Store) -> None:
    with pytest.raises(IntegrityError, match="is not in the store"):
        summary_totals(sales(), MANIFEST, store=bucket)
    bucket.put(KEY, b"PAR1")
    with pytest.raises(IntegrityError, match="does not match its checksum"):
        summary_totals(sales(), MANIFEST, store=bucket)
