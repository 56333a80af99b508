"""By default, a date range can have up to ten years, or as many days as the report's window if that is longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quire.errors import RangeError
from quire.object_store.memory_store import MemoryStore
from quire.portal.run_requests import parse_request
from quire.report.definition.limits import MAX_READER_DAYS
from quire.report.request import request_from_dates

from tests.events import events_report
from tests.portal.in_process import open_portal

TEN_YEARS: dict[str, Any] = {"start": "2011-01-01", "end": "2020-12-31"}
LONGER: dict[str, Any] = {"start": "2001-01-01", "end": "2020-12-31"}


def test_parse_request_default_limit_is_ten_years_for_readers(tmp_path: Path) -> None:
    definition = events_report(tmp_path)
    assert parse_request(definition, **TEN_YEARS, parameters={}).request.date_range.day_count == 3_653
    with pytest.raises(RangeError, match="The date range has 7,305 days; this report allows at most 3,700"):
        parse_request(definition, **LONGER, parameters={})
    assert (
        request_from_dates(definition, **LONGER, parameters={}, run_id="r").date_range.day_count == 7_305
    )  # quire run


def test_parse_request_limit_of_the_definition_replaces_the_default(tmp_path: Path) -> None:
    assert parse_request(events_report(tmp_path, limits={"days": 8_000}), **LONGER, parameters={})
    short = events_report(tmp_path, limits={"days": 31})
    with pytest.raises(RangeError, match=r"this report allows at most 31$"):
        parse_request(short, **TEN_YEARS, parameters={})


def test_parse_request_allows_a_window_longer_than_the_default(tmp_path: Path) -> None:
    definition = events_report(tmp_path, window="20 years")
    assert definition.reader_limits.days == 20 * 366 > MAX_READER_DAYS
    assert parse_request(definition, **LONGER, parameters={})


def test_report_page_shows_the_default_limit(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    portal = open_portal(lambda: store)
    assert portal.get("/api/reports/events").json()["limits"] == {"days": 3_700, "rows": None}
    portal.host.get("/api/v2/dags/events/dagRuns")(lambda: {"dag_runs": [], "total_entries": 0})
    assert "Up to 3,700 days per report." in portal.get("/reports/events").text
