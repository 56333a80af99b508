"""Tests date ranges, the default window, parameters and rejected input in run requests."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from quire.airflow_dag.params import trigger_params
from quire.errors import ParameterError, RangeError, ReportError
from quire.report.definition import ReportDefinition
from quire.report.definition.name_checks import MAX_SUGGESTED_LENGTH, suggestion
from quire.report.definition.parameter import Parameter
from quire.report.request import request_from_conf, request_from_dates

from tests.events import SQL, events_report

AFTER = dt.datetime(2013, 4, 1, 3, 0, tzinfo=dt.UTC)  # still March 31 in New York


@pytest.fixture
def definition(tmp_path: Path) -> ReportDefinition:
    return events_report(
        tmp_path,
        sql=SQL.replace("ORDER", "AND (%(kind)s IS NULL OR kind = %(kind)s)\nORDER"),
        parameters={"kind": {"type": "string", "enum": ["a", "b"], "default": None}},
    )


def test_conf_with_dates_is_that_range(definition: ReportDefinition) -> None:
    conf = {"start": "2013-01-01", "end": "2013-01-31", "kind": "a", "force": True}
    request = request_from_conf(definition, conf, run_id="r", run_after=AFTER)
    assert (request.start, request.end) == (dt.date(2013, 1, 1), dt.date(2013, 1, 31))
    assert (request.parameters, request.force, request.run_id) == ({"kind": "a"}, True, "r")


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (None, ()),
        ([], ()),
        (["xlsx"], ()),  # the same as the definition's formats
        (["parquet", "csv"], ("csv", "parquet")),
        (["csv", "parquet", "csv"], ("csv", "parquet")),
        ("csv", ("csv",)),
    ],
)
def test_requested_formats_are_kept_in_a_fixed_order(
    definition: ReportDefinition, requested: Any, expected: tuple[str, ...]
) -> None:
    request = request_from_conf(definition, {"formats": requested}, run_id="r", run_after=AFTER)
    assert request.formats == expected
    assert definition.file_formats(request.formats) == (expected or ("xlsx",))


@pytest.mark.parametrize("conf", [{}, {"start": None, "end": None}, {"start": "", "end": ""}])
def test_conf_without_dates_is_the_last_complete_window(definition: ReportDefinition, conf: dict[str, Any]) -> None:
    request = request_from_conf(definition, conf, run_id="r", run_after=AFTER)
    assert (request.start, request.end) == (dt.date(2013, 2, 1), dt.date(2013, 2, 28))
    later = request_from_conf(definition, conf, run_id="r", run_after=AFTER + dt.timedelta(hours=1))
    assert (later.start, later.end) == (dt.date(2013, 3, 1), dt.date(2013, 3, 31))


@pytest.mark.parametrize(
    ("conf", "error", "reason"),
    [
        ({"start": "2013-01-01"}, ParameterError, "set both start and end, or omit both"),
        ({"end": "2013-01-01"}, ParameterError, "set both start and end, or omit both"),
        (
            {"strat": "2013-01-01", "end": "2013-01-01"},
            ParameterError,
            "unknown parameter 'strat'; did you mean start?",
        ),
        ({"start": "2013-02-30", "end": "2013-03-01"}, RangeError, "start is '2013-02-30': write a calendar date"),
        ({"start": "2013-03-02", "end": "2013-03-01"}, RangeError, "start 2013-03-02 is after end 2013-03-01"),
        ({"kind": "c"}, ParameterError, "parameter kind is 'c': use one of a, b"),
        ({"force": "yes"}, ParameterError, "force is 'yes': must be true or false"),
        ({"formats": ["xls"]}, ParameterError, "format 'xls' is not one of xlsx, csv, parquet"),
        ({"formats": [{"a": 1}]}, ParameterError, "format {'a': 1} is not one of xlsx, csv, parquet"),
    ],
)
def test_invalid_conf_is_rejected_in_one_line(
    definition: ReportDefinition, conf: dict[str, Any], error: type[ReportError], reason: str
) -> None:
    with pytest.raises(error) as caught:
        request_from_conf(definition, conf, run_id="r", run_after=AFTER)
    assert str(caught.value).startswith(f"events: {reason}")
    assert caught.value.exit_status == 2


def test_made_at_is_the_current_time_in_utc(definition: ReportDefinition) -> None:
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    request = request_from_dates(definition, start="2013-01-01", end="2013-01-01", parameters={}, run_id="r")
    made_at = dt.datetime.fromisoformat(request.made_at)
    assert before <= made_at <= dt.datetime.now(dt.UTC)
    assert made_at.utcoffset() == dt.timedelta(0)


@pytest.mark.parametrize("formats", [["csv"], ["xlsx", "csv"], "csv"])
def test_conf_with_a_format_not_offered_to_readers_is_rejected(tmp_path: Path, formats: object) -> None:
    definition = events_report(tmp_path, workbook={"reader_formats": ["xlsx", "parquet"]})
    conf = {"start": "2013-01-01", "end": "2013-01-31", "formats": formats}
    with pytest.raises(ParameterError, match="format csv is not available for this report: use xlsx, parquet"):
        request_from_conf(definition, conf, run_id="r", run_after=AFTER)
    allowed = request_from_conf(definition, {**conf, "formats": ["parquet"]}, run_id="r", run_after=AFTER)
    assert allowed.formats == ("parquet",)


def test_form_in_airflow_offers_the_formats_for_readers(tmp_path: Path) -> None:
    definition = events_report(tmp_path, workbook={"reader_formats": ["xlsx", "parquet"]})
    formats = trigger_params(definition)["formats"]
    assert formats.schema["items"]["enum"] == formats.schema["examples"] == ["xlsx", "parquet"]


class Unquoted(str):
    """A string that is too long to quote in errors."""

    def __repr__(self) -> str:
        raise AssertionError("quoted before it was shortened")


def test_conf_with_a_long_unknown_key_is_rejected_briefly(definition: ReportDefinition) -> None:
    conf: dict[str, object] = {Unquoted("start" * 100_000): 1}
    with pytest.raises(ParameterError) as caught:
        request_from_conf(definition, conf, run_id="r", run_after=AFTER)
    assert "unknown parameter 'startstart" in str(caught.value)
    assert len(str(caught.value)) < 300


def test_conf_with_a_long_date_is_rejected_briefly(definition: ReportDefinition) -> None:
    with pytest.raises(RangeError) as caught:
        request_from_conf(definition, {"start": "1" * 100_000, "end": "2013-01-31"}, run_id="r", run_after=AFTER)
    assert len(str(caught.value)) < 300


def test_suggestion_for_a_long_word_is_not_searched() -> None:
    word = "a" * MAX_SUGGESTED_LENGTH
    assert suggestion(word, [f"{word}b"]) == f"; did you mean {word}b?"
    assert suggestion(f"{word}a", [f"{word}b"]) == ""


def test_too_long_parameter_is_rejected_before_its_characters_are_read() -> None:
    with pytest.raises(ValueError, match="11 characters long: the maximum is 10"):
        Parameter(type="string", max_length=10).read("\0" * 11)
