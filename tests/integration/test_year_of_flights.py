"""A run over the flights of 2013 has the rows and sums that PostgreSQL computes."""

from __future__ import annotations

import pytest
from quire.dev_stack.s3_server import S3Server
from quire.object_store.s3_store import S3Store
from quire.record_types.manifest import Manifest
from quire.report.definition import ReportDefinition
from quire.runs.verify import verify_run

from tests.integration.test_pipeline import ask, run
from tests.workbooks import open_workbook, sheet_rows

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("year_of_flights")]  # the tests share one run


@pytest.fixture(scope="module")
def year(flights: ReportDefinition, flights_url: str, s3_server: S3Server) -> tuple[Manifest, S3Store]:
    """A run over all flights."""
    store = s3_server.create_bucket("year-of-flights")
    return run(flights, flights_url, store, "2013-01-01", "2013-12-31").published.manifest, store


def test_year_of_flights_has_the_rows_of_each_month(
    flights: ReportDefinition, flights_url: str, year: tuple[Manifest, S3Store]
) -> None:
    manifest, store = year
    counted = ask(
        flights_url,
        "SELECT to_char(time_hour + make_interval(mins => minute), 'YYYY-MM'), count(*) FROM flights "
        "GROUP BY 1 ORDER BY 1",
    )
    assert [(part.key, part.rows) for part in manifest.partitions] == [tuple(row) for row in counted]
    assert manifest.rows == 336_776
    assert [file.name for file in manifest.files] == [
        *(f"flights_2013-{month:02d}.xlsx" for month in range(1, 13)),
        "flights_2013-01-01_2013-12-31_summary.xlsx",
    ]
    for file, (_, rows) in zip(manifest.files, counted, strict=False):
        sheet = open_workbook(store, file.key).get_sheet_by_name(flights.title)
        assert file.rows == rows
        assert sheet.height == 1 + rows + 1  # the header, the rows and the totals
    assert verify_run(manifest.run, store=store).problems == ()


def test_summaries_equal_group_by_in_postgresql(flights_url: str, year: tuple[Manifest, S3Store]) -> None:
    manifest, store = year
    workbook = open_workbook(store, manifest.files[-1].key)
    expected = ask(
        flights_url,
        "SELECT a.name, count(*), count(*) FILTER (WHERE f.dep_delay IS NULL), count(DISTINCT f.tailnum), "
        "sum(f.distance), avg(f.dep_delay)::float8, avg(f.arr_delay)::float8 FROM flights f JOIN airlines a USING "
        "(carrier) GROUP BY 1 ORDER BY 2 DESC, 1",
    )
    rows = [row for row in sheet_rows(workbook, "By airline") if row[0] in {line[0] for line in expected}]
    assert len(rows) == 16
    for row, expected_row in zip(rows, expected, strict=True):
        assert row[:5] == list(expected_row[:5])
        assert row[5:7] == [pytest.approx(float(mean), rel=1e-12) for mean in expected_row[5:]]
    rain = ask(
        flights_url,
        "SELECT p.name, count(*), sum(w.precip) FROM flights f JOIN airports p ON p.faa = f.origin LEFT JOIN weather w "
        "USING (origin, time_hour) GROUP BY 1 ORDER BY 2 DESC",
    )
    by_airport = [row for row in sheet_rows(workbook, "By airport") if row[0] in {line[0] for line in rain}]
    assert [(row[0], row[1], row[4]) for row in by_airport] == [
        (name, count, float(total)) for name, count, total in rain
    ]
