"""Tests a definition's owner, limits and reader formats, and how they affect the run key."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import pytest
from pydantic import ValidationError
from quire.errors import ParameterError, RangeError
from quire.record_types.stage_records import RunPlan
from quire.report.definition import CsvOptions, Owner, ReportDefinition, RequestLimits
from quire.report.request import RunRequest, request_from_conf, request_from_dates
from quire.runs.run_key import compute_run_key

STRING = {"kind": {"type": "string", "default": None}}
DAY = dt.date(2013, 1, 1)


def define(**fields: Any) -> ReportDefinition:
    source = {"sql": "a.sql", "time_column": "t"}
    return ReportDefinition.model_validate({"name": "flights", "source": source, "partition": "day", **fields})


def rejection(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        define(**fields)
    (error,) = (error for error in caught.value.errors() if error["type"] != "default_factory_not_called")
    place = ".".join(map(str, (*error["loc"], *error.get("ctx", {}).get("path", ()))))
    return f"{place}: {error['msg']}"


def key_of(definition: ReportDefinition, *formats: Any) -> str:
    request = RunRequest(
        report="flights", start=DAY, end=DAY, timezone="UTC", formats=formats, run_id="r", made_at="now"
    )
    return compute_run_key(definition, RunPlan(request=request, source_digest="d", columns=()), {})


def test_definition_without_the_fields_has_no_owner_and_no_limits() -> None:
    definition = define(parameters=STRING)
    assert definition.owner is None
    assert definition.limits == RequestLimits(days=None, rows=None)
    assert definition.workbook.reader_formats == ("xlsx", "csv", "parquet")
    assert definition.workbook.csv == CsvOptions(escape_formulas=False)
    assert definition.parameters["kind"].max_length == 1_000


def test_definition_reads_owner_limits_and_readers_formats() -> None:
    definition = define(
        owner={"name": "Finance data", "email": "finance-data@example.org"},
        limits={"days": 400, "rows": 20_000_000},
        workbook={"reader_formats": ["xlsx", "parquet"], "csv": {"escape_formulas": True}},
    )
    assert definition.owner == Owner(name="Finance data", email="finance-data@example.org")
    assert definition.limits == RequestLimits(days=400, rows=20_000_000)
    assert definition.workbook.reader_formats == ("xlsx", "parquet")
    assert definition.workbook.csv.escape_formulas
    assert define(owner={"name": "Ops"}).owner == Owner(name="Ops", email=None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"owner": {"email": "ops@example.org"}}, "owner.name: Field required"),
        ({"owner": {"name": "Ops", "email": "ops"}}, "owner.email: Value error, is 'ops': write an e-mail address"),
        ({"limits": {"days": 0}}, "limits.days: Input should be greater than or equal to 1"),
        ({"limits": {"rows": "many"}}, "limits.rows: Input should be a valid integer"),
        (
            {"limits": {"days": 30}, "window": "1 month"},
            "limits.days: is 30, but the window of 1 month can have 31",
        ),
        ({"workbook": {"reader_formats": []}}, "workbook.reader_formats: is empty"),
        ({"workbook": {"reader_formats": ["csv", "csv", "xlsx"]}}, "workbook.reader_formats: csv is listed twice"),
        (
            {"workbook": {"formats": ["xlsx", "csv"], "reader_formats": ["xlsx"]}},
            "workbook.reader_formats: must include csv, because workbook.formats does",
        ),
        (
            {"parameters": {"seats": {"type": "integer", "max_length": 5}}},
            "parameters.seats.max_length: applies only to strings",
        ),
        ({"parameters": {"kind": {"type": "string", "max_length": 50_001}}}, "parameters.kind.max_length: Input"),
        (
            {"parameters": {"kind": {"type": "string", "max_length": 2, "enum": ["abc"]}}},
            "parameters.kind.enum.0: is 3 characters long: the maximum is 2",
        ),
    ],
)
def test_definition_with_invalid_reader_fields_is_rejected_in_place(fields: dict[str, Any], reason: str) -> None:
    assert rejection(**fields).startswith(reason)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("integer", "1", "is the string '1': write the number 1 without quotes"),
        ("number", "1.5", "is the string '1.5': write the number 1.5 without quotes"),
        ("boolean", "true", "is the string 'true': write true without quotes"),
        ("string", 1, "is the number 1: quote it, as in '1'"),
        ("string", True, "is true: quote it, as in 'true'"),
    ],
)
def test_enum_of_another_type_suggests_the_correct_form(kind: str, value: object, message: str) -> None:
    place = "parameters.kind.enum.0: "
    assert rejection(parameters={"kind": {"type": kind, "enum": [value]}}) == place + message


@pytest.mark.parametrize("limit", [None, 20])
def test_string_over_its_max_length_is_rejected_without_echo(limit: int | None) -> None:
    declared = STRING["kind"] | ({"max_length": limit} if limit else {})
    definition = define(parameters={"kind": declared})
    max_length = limit or 1_000
    assert definition.bind_parameters({"kind": "é" * max_length}) == {"kind": "é" * max_length}
    with pytest.raises(ParameterError) as caught:
        definition.bind_parameters({"kind": "é" * (max_length + 1)})
    message = f"parameter kind is {max_length + 1:,} characters long: the maximum is {max_length:,}"
    assert caught.value.message == message


def test_date_range_over_the_limit_is_rejected_in_readers_terms() -> None:
    definition = define(limits={"days": 31})
    request = partial(request_from_dates, definition, start="2013-01-01", parameters={}, run_id="r")
    assert request(end="2013-01-31").end == dt.date(2013, 1, 31)
    with pytest.raises(RangeError) as caught:
        request(end="2013-02-01")
    assert str(caught.value) == "flights: The date range has 32 days; this report allows at most 31"
    with pytest.raises(RangeError, match=r"this report allows at most 31$"):
        request_from_conf(
            definition, {"start": "2013-01-01", "end": "2015-01-01"}, run_id="r", run_after=dt.datetime.now(dt.UTC)
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": {"name": "Ops"}},
        {"limits": {"days": 400, "rows": 1}},
        {"workbook": {"reader_formats": ["xlsx"]}},
        {"workbook": {"csv": {"escape_formulas": True}}},  # the run writes no CSV files
        {"parameters": {"kind": STRING["kind"] | {"max_length": 10}}},
    ],
)
def test_run_key_ignores_fields_that_change_no_file(changes: dict[str, Any]) -> None:
    assert key_of(define(parameters=STRING)) == key_of(define(**{"parameters": STRING, **changes}))


def test_run_key_of_csv_files_depends_on_the_escaping_of_formulas() -> None:
    escaped = define(workbook={"csv": {"escape_formulas": True}})
    assert key_of(define(), "csv") != key_of(escaped, "csv")
    assert key_of(define(), "parquet") == key_of(escaped, "parquet")
