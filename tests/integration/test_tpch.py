"""Compares a report of TPC-H's first query, digit by digit, with PostgreSQL's result and the published answer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report

from benchmarks.lineitem import load_lineitem
from tests.events import request_of, session_of
from tests.tpch import ANSWER, FIRST_DAY, LAST_DAY, PUBLISHED, pricing_summary
from tests.workbooks import open_workbook, sheet_rows

pytestmark = pytest.mark.server

EXACT = [*range(6), 9]  # the columns with keys, sums and the count; all others are averages
AVERAGES = [6, 7, 8]


def run_pricing_summary(include: Path, url: str, store: S3Store) -> tuple[list[list[Any]], int]:
    """Compares the summary with the workbook, and returns the summary's rows and the number of source rows."""
    definition = pricing_summary(include)
    request = request_of(definition, FIRST_DAY, LAST_DAY)
    outcome = run_report(definition, request, session=session_of(url, timezone="UTC", seconds=600), store=store)
    manifest = outcome.published.manifest
    (summary,) = manifest.summaries
    rows = pl.read_parquet(io.BytesIO(store.read(summary.object_key) or b"")).rows()
    assert [file.name for file in manifest.files] == [f"{definition.name}_{FIRST_DAY}_{LAST_DAY}_summary.xlsx"]
    cells = sheet_rows(open_workbook(store, manifest.files[0].key), "Pricing")
    keys = [list(row[:2]) for row in rows]
    assert [row[:3] for row in cells if row[:2] in keys] == [[*row[:2], float(row[2])] for row in rows]
    return [list(row) for row in rows], manifest.rows


def assert_equal_answers(actual: Sequence[Sequence[Any]], expected: Sequence[Sequence[Any]], *, within: float) -> None:
    """Asserts that keys, sums and counts are equal, and that averages differ by at most a tolerance."""
    assert [[row[place] for place in EXACT] for row in actual] == [[row[place] for place in EXACT] for row in expected]
    for row, other in zip(actual, expected, strict=True):
        for place in AVERAGES:
            assert row[place] == pytest.approx(float(other[place]), abs=within, rel=0)


def test_pricing_summary_equals_postgresql_to_the_digit(tmp_path: Path, fresh_database: str, bucket: S3Store) -> None:
    load_lineitem(fresh_database, 0.1)
    with psycopg.connect(fresh_database) as connection:
        expected = connection.execute(ANSWER).fetchall()
    actual, rows = run_pricing_summary(tmp_path, fresh_database, bucket)
    assert len(expected) == 4
    assert rows == sum(row[-1] for row in expected)
    assert_equal_answers(actual, expected, within=1e-7)


@pytest.mark.slow
def test_pricing_summary_of_six_million_rows_equals_the_published_answer(
    tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    load_lineitem(fresh_database, 1)
    with psycopg.connect(fresh_database) as connection:
        assert connection.execute("SELECT count(*) FROM lineitem").fetchone() == (6_001_215,)
    actual, rows = run_pricing_summary(tmp_path, fresh_database, bucket)
    expected = [line.split() for line in PUBLISHED.strip().splitlines()]
    assert rows == sum(int(fields[-1]) for fields in expected) == 5_916_591
    answer = [[*fields[:2], *map(Decimal, fields[2:])] for fields in expected]
    assert_equal_answers(actual, answer, within=0.01)
