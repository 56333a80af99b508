"""A question's identity, and the ranges that people often want."""

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


def question(definition: ReportDefinition, **changes: Any) -> ReportRequest:
    return parse_request(definition, **{**JANUARY, "parameters": {}, **changes})


@pytest.mark.parametrize(
    "changes",
    [{}, {"parameters": {"kind": "a"}}, {"parameters": {"kind": None}}, {"formats": ["xlsx"]}],
)
def test_question_is_the_same_with_its_defaults_said(definition: ReportDefinition, changes: dict[str, Any]) -> None:
    assert question(definition, **changes).prefix == question(definition).prefix


@pytest.mark.parametrize("value", [5, 5.0, "5", "5.0", "5e0"])
def test_number_is_the_same_question_however_it_is_written(tmp_path: Path, value: object) -> None:
    definition = events_report(
        tmp_path,
        sql=SQL.replace("ORDER", "AND id >= %(least)s\nORDER"),
        parameters={"least": {"type": "number", "default": 5.0}},
    )
    assert question(definition, parameters={"least": value}).prefix == question(definition).prefix


@pytest.mark.parametrize(
    "changes",
    [{"start": "2013-01-02"}, {"end": "2013-01-30"}, {"parameters": {"kind": "b"}}, {"formats": ["csv"]}],
)
def test_question_is_another_where_something_else_is_asked(
    definition: ReportDefinition, changes: dict[str, Any]
) -> None:
    assert question(definition, **changes).prefix != question(definition).prefix


def test_question_is_another_once_the_definition_was_changed(definition: ReportDefinition) -> None:
    changed = definition.model_copy(update={"sql_text": f"{definition.sql_text} "})
    assert question(changed).prefix != question(definition).prefix


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
def test_question_that_is_wrong_is_refused_with_its_reason(
    definition: ReportDefinition, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        question(definition, **changes)


def test_conf_of_a_question_is_what_plan_reads_as_that_question(definition: ReportDefinition) -> None:
    asked = question(definition, parameters={"kind": "b"}, formats=["parquet", "csv"])
    run = {"conf": asked.conf, "dag_run_id": "r", "run_after": "2026-01-01T00:00:00Z"}
    found = parse_run_conf(definition, run)
    assert (found.start, found.end, found.parameters, found.formats) == (
        asked.request.start, asked.request.end, asked.request.parameters, asked.request.formats,
    )  # fmt: skip


def test_past_run_is_read_whatever_the_definition_limits_by_now(tmp_path: Path) -> None:
    conf = {"start": "2013-01-01", "end": "2013-12-31", "formats": ["csv"]}
    run = {"run_after": "2014-01-01T00:00:00Z", "conf": conf, "dag_run_id": "ask__1"}
    tightened = events_report(tmp_path, limits={"days": 31}, workbook={"reader_formats": ["xlsx"]})
    request = parse_run_conf(tightened, run)
    assert (request.start, request.end, request.formats) == (dt.date(2013, 1, 1), dt.date(2013, 12, 31), ("csv",))
    for refused in (conf, {**conf, "formats": ["xlsx"]}, {**conf, "end": "2013-01-31"}):  # by plan
        with pytest.raises(UsageError):
            request_from_conf(tightened, refused, run_id="r", run_after=dt.datetime.now(dt.UTC))


def test_presets_are_the_reports_own_days(tmp_path: Path) -> None:
    definition = events_report(tmp_path, timezone="America/New_York")
    still_february = dt.datetime(2024, 3, 1, 4, 59, tzinfo=dt.UTC)
    found = {preset.title: (preset.start, preset.end) for preset in presets(definition, now=still_february)}
    day = dt.date
    assert found == {
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
    assert found["Last month"] != (later[2].start, later[2].end) == (day(2024, 2, 1), day(2024, 2, 29))


def test_question_over_a_long_range_builds_no_partitions(tmp_path: Path) -> None:
    daily = events_report(tmp_path, sql=SQL, partition="day", limits={"days": 20_000})
    question(daily)  # what is loaded once
    tracemalloc.start()
    try:
        question(daily, start="1960-01-01", end="2013-01-01")  # 19,360 days
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
