"""A run's work estimate grows with everything that takes time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quire.record_types.stage_records import QueryEstimate, SourceColumn
from quire.runs.work_estimate import SECONDS_PER_FILE, extract_seconds, output_seconds, scale_estimate

from tests.events import events_report

COLUMNS = tuple(SourceColumn(name=name, pg_type="text") for name in "abcdef")
ESTIMATE = QueryEstimate(rows=1_000_000, cost=100_000)


def test_extract_takes_time_for_rows_cost_and_partitions() -> None:
    base = extract_seconds(COLUMNS, ESTIMATE, partitions=1)
    assert 0.5 < base < 5
    assert extract_seconds(COLUMNS, QueryEstimate(rows=2_000_000, cost=100_000), partitions=1) > base
    assert extract_seconds(COLUMNS, QueryEstimate(rows=1_000_000, cost=200_000), partitions=1) > base
    assert extract_seconds(COLUMNS, ESTIMATE, partitions=2) > base
    assert extract_seconds(COLUMNS[:3], ESTIMATE, partitions=1) < base


@pytest.mark.parametrize(
    "change", [{"rows": 2e6}, {"partitions": 2}, {"formats": ["xlsx", "csv"]}], ids=["rows", "partitions", "formats"]
)
def test_output_takes_time_for_rows_files_and_formats(tmp_path: Path, change: dict[str, Any]) -> None:
    definition = events_report(tmp_path)
    usual: dict[str, Any] = {"rows": 1e6, "partitions": 1, "formats": ["xlsx"]}
    base = output_seconds(definition, COLUMNS, **usual)
    assert 0.3 < base < 5
    assert output_seconds(definition, COLUMNS, **{**usual, **change}) > base


def test_output_takes_time_for_the_files_of_a_row_split(tmp_path: Path) -> None:
    seconds = [
        output_seconds(
            events_report(tmp_path, workbook={"split": {"rows": rows}}),
            COLUMNS, rows=300_000, partitions=1, formats=["xlsx"],
        )
        for rows in (300_000, 100)
    ]  # fmt: skip
    assert seconds[1] - seconds[0] == pytest.approx(2_999 * SECONDS_PER_FILE)


def test_output_without_rows_takes_time_for_summaries_alone(tmp_path: Path) -> None:
    definition = events_report(tmp_path, workbook={"detail": False})
    assert 0 < output_seconds(definition, COLUMNS, rows=1e6, partitions=1, formats=["xlsx"]) < 0.5


def test_estimate_of_some_days_is_their_share() -> None:
    assert scale_estimate(ESTIMATE, days=73, total_days=365) == QueryEstimate(rows=200_000, cost=20_000)
