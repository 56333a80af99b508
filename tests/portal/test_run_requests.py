"""Tests the identity of report requests, and the common date ranges."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from quire.errors import UsageError
from quire.portal.run_requests import ReportRequest, parse_request, parse_run_conf, presets
from quire.report.definition import ReportDefinition
from quire.report.request import request_from_conf

from tests.events import SQL, events_report

JANUARY = {"start": "2013-01-01", "end": "2013-01-31"}


@pytest.fixture
def definition(tmp_path: Path) -> ReportDefinition:
    return events_report(
        tmp_path,
        sql=SQL.replace("ORDER", "AND (%(kind)s IS NULL OR kind = %(kind)s)\nORDER"),
        parameters={"kind": {"type": "string", "default": "a"}},
    )


def report_request(definition: ReportDefinition, **changes: Any) -> ReportRequest:
    return parse_request(definition, **{**JANUARY, "parameters": {}, **changes})


@pytest.mark.parametrize(
    "changes",
    [{}, {"parameters": {"kind": "a"}}, {"parameters": {"kind": None}}, {"formats": ["xlsx"]}],
)
def test_parse_request_explicit_defaults_keep_the_prefix(definition: ReportDefinition, changes: dict[str, Any]) -> None:
    assert report_request(definition, **changes).prefix == report_request(definition).prefix


@pytest.mark.parametrize("value", [5, 5.0, "5", "5.0", "5e0"])
def test_parse_request_number_as_text_has_the_same_prefix(tmp_path: Path, value: object) -> None:
    definition = events_report(
        tmp_path,
        sql=SQL.replace("ORDER", "AND id >= %(least)s\nORDER"),
        parameters={"least": {"type": "number", "default": 5.0}},
    )
    assert report_request(definition, parameters={"least": value}).prefix == report_request(definition).prefix


@pytest.mark.parametrize(
    "changes",
    [{"start": "2013-01-02"}, {"end": "2013-01-30"}, {"parameters": {"kind": "b"}}, {"formats": ["csv"]}],
)
def test_parse_request_with_other_values_has_another_prefix(
    definition: ReportDefinition, changes: dict[str, Any]
) -> None:
    assert report_request(definition, **changes).prefix != report_request(definition).prefix


def test_parse_request_after_a_definition_change_has_another_prefix(definition: ReportDefinition) -> None:
    changed = definition.model_copy(update={"sql_text": f"{definition.sql_text} "})
    assert report_request(changed).prefix != report_request(definition).prefix


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": "2013-02-30"}, "start is '2013-02-30'"),
        ({"start": "2013-02-01"}, "is after end"),
        ({"parameters": {"knid": "a"}}, "unknown parameter 'knid'"),
        ({"parameters": {"kind": 5}}, "parameter kind is 5"),
        ({"formats": ["pdf"]}, "format 'pdf' is not one of"),
        ({"start": "1000-01-01", "end": "9000-01-01"}, "The date range has 96,001 months; a run allows at most 20,000"),
        ({"parameters": {"kind": "a\ud800"}}, "cannot contain NUL or unpaired surrogates"),
    ],
)
def test_parse_request_invalid_values_raise_with_a_reason(
    definition: ReportDefinition, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        report_request(definition, **changes)


def test_report_request_conf_parses_to_the_same_request(definition: ReportDefinition) -> None:
    requested = report_request(definition, parameters={"kind": "b"}, formats=["parquet", "csv"])
    run = {"conf": requested.conf, "dag_run_id": "r", "run_after": "2026-01-01T00:00:00Z"}
    parsed = parse_run_conf(definition, run)
    assert (parsed.start, parsed.end, parsed.parameters, parsed.formats) == (
        requested.request.start, requested.request.end, requested.request.parameters, requested.request.formats,
    )  # fmt: skip


def test_parse_run_conf_ignores_current_limits(tmp_path: Path) -> None:
    conf = {"start": "2013-01-01", "end": "2013-12-31", "formats": ["csv"]}
    run = {"run_after": "2014-01-01T00:00:00Z", "conf": conf, "dag_run_id": "ask__1"}
    tightened = events_report(tmp_path, limits={"days": 31}, workbook={"reader_formats": ["xlsx"]})
    request = parse_run_conf(tightened, run)
    assert (request.start, request.end, request.formats) == (dt.date(2013, 1, 1), dt.date(2013, 12, 31), ("csv",))
    for refused in (conf, {**conf, "formats": ["xlsx"]}, {**conf, "end": "2013-01-31"}):  # rejected by plan
        with pytest.raises(UsageError):
            request_from_conf(tightened, refused, run_id="r", run_after=dt.datetime.now(dt.UTC))


def test_presets_use_the_time_zone_of_the_report(tmp_path: Path) -> None:
    definition = events_report(tmp_path, timezone="America/New_York")
    still_february = dt.datetime(2024, 3, 1, 4, 59, tzinfo=dt.UTC)
    ranges = {preset.title: (preset.start, preset.end) for preset in presets(definition, now=still_february)}
    day = dt.date
    assert ranges == {
        "Yesterday": (day(2024, 2, 28), day(2024, 2, 28)),
        "Last week": (day(2024, 2, 19), day(2024, 2, 25)),
        "Last month": (day(2024, 1, 1), day(2024, 1, 31)),
        "Last quarter": (day(2023, 10, 1), day(2023, 12, 31)),
        "Last year": (day(2023, 1, 1), day(2023, 12, 31)),
        "Last 30 days": (day(2024, 1, 30), day(2024, 2, 28)),
        "This month": (day(2024, 2, 1), day(2024, 2, 29)),
        "This year": (day(2024, 1, 1), day(2024, 2, 29)),
    }
    later = presets(definition, now=still_february + dt.timedelta(minutes=1))
    assert ranges["Last month"] != (later[2].start, later[2].end) == (day(2024, 2, 1), day(2024, 2, 29))


def test_parse_request_of_a_long_range_creates_no_partitions(tmp_path: Path) -> None:
    daily = events_report(tmp_path, sql=SQL, partition="day", limits={"days": 20_000})
    report_request(daily)  # imports and caches
    tracemalloc.start()
    try:
        report_request(daily, start="1960-01-01", end="2013-01-01")  # 19,360 days
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
