"""A summary shows the same cells on a page as it does in the summary workbook."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from quire.notification_content.headline_totals import summary_totals
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.report.definition import ReportDefinition
from quire.tables_and_charts.page_tables import summary_tables
from quire.xlsx.cell_values import column_values
from quire.xlsx.model import SheetColumn

from tests.events import events_report, fill_events, request_of, session_of
from tests.number_formats.test_values import csv_of_sheet
from tests.portal.test_page_summaries import SUMMARIES, publish

pytestmark = pytest.mark.server

SUMMARY = {
    "name": "By day",
    "by": [{"column": "at", "every": "day"}],
    "measures": {
        "events": {"agg": "count", "format": '#,##0 "pcs"'},
        "amount": {"agg": "sum", "of": "amount", "format": "[$€-407] #,##0.00;[Red]-[$€-407] #,##0.00"},
        "share": {"agg": "mean", "of": "amount", "format": "0.0%"},
        "largest": {"agg": "max", "of": "amount * 1000000"},
        "latest": {"agg": "max", "of": "at", "format": "d mmm yyyy hh:mm:ss"},
        "kinds": {"agg": "max", "of": "kind"},
    },
    "sort": ["at"],
    "chart": {"type": "column", "x": "at", "y": ["amount"]},
}


@pytest.fixture
def definition(tmp_path: Path, fresh_database: str) -> ReportDefinition:
    fill_events(fresh_database)
    return events_report(tmp_path, summaries=[SUMMARY])


@pytest.mark.usefixtures("servers")
@pytest.mark.skipif(not shutil.which("soffice"), reason="LibreOffice is not installed")
def test_page_and_notification_show_the_numbers_of_the_workbook(
    definition: ReportDefinition, fresh_database: str, bucket: S3Store, tmp_path: Path
) -> None:
    session = session_of(fresh_database)
    manifest = run_report(definition, request_of(definition), session=session, store=bucket).published.manifest
    (table,) = summary_tables(definition, manifest, store=bucket)
    (tmp_path / "summary.xlsx").write_bytes(bucket.read(manifest.files[-1].key) or b"")
    cells = csv_of_sheet(tmp_path / "summary.xlsx", sheet=2)[3:]  # below the title and the header
    assert table.rows == [row[: len(table.header)] for row in cells]
    assert table.rows[1][1:3] == ["1 pcs", "-€ 0.05"]
    assert table.rows[0][5] == "1 Jan 2013 00:00:00"  # in the report's zone
    assert dict(summary_totals(definition, manifest, store=bucket))["Amount"] == "€ 100,000,011.05"
    assert table.chart.count("<rect") == len(table.rows)
    assert "€ 100,000,000.00" in table.chart


@pytest.mark.parametrize(("kind", "converted"), [(None, 12), ("column", 30), ("line", 1_000)])
def test_page_converts_only_displayed_rows(tmp_path: Path, bucket: S3Store, kind: str | None, converted: int) -> None:
    lengths = list[int]()

    def counted(table: pa.Table, column: SheetColumn, *, timezone: str) -> list[Any]:
        values = column_values(table, column, timezone=timezone)
        lengths.append(len(values))
        return values

    chart = {"chart": {"type": kind, "x": "kind", "y": ["events"]}} if kind else {}
    definition = events_report(tmp_path, summaries=[{**summary, "chart": None, **chart} for summary in SUMMARIES])
    first, _ = summary_tables(definition, publish(bucket, rows=50_000), store=bucket, convert=counted)
    assert lengths == [converted] * 4 * 2
    assert (first.total_rows, first.rows[-1]) == (50_000, ["kind 000000011", "11", "11", "11"])
    assert (f"first {converted:,} of 50,000" in first.chart) == (kind is not None)
