"""Tests the declarations of report parameters and the conversion of their values."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError
from quire.errors import ParameterError
from quire.report.definition import Parameter, ReportDefinition

PARAMETERS = {
    "carrier": {"type": "string", "enum": ["AA", "B6"], "default": None},
    "seats": {"type": "integer", "minimum": 1, "maximum": 500, "default": 100},
    "share": {"type": "number", "default": 0.5},
    "cancelled": {"type": "boolean", "default": False},
    "since": {"type": "date", "default": "2013-01-01"},
}


def define(parameters: dict[str, Any]) -> ReportDefinition:
    source = {"sql": "a.sql", "time_column": "t"}
    return ReportDefinition.model_validate(
        {"name": "flights", "source": source, "partition": "month", "parameters": parameters}
    )


def test_bind_parameters_without_values_returns_the_defaults() -> None:
    bound = define(PARAMETERS).bind_parameters({})
    assert bound == {"carrier": None, "seats": 100, "share": 0.5, "cancelled": False, "since": "2013-01-01"}


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("carrier", "AA", "AA"),
        ("carrier", None, None),
        ("seats", "12", 12),
        ("seats", None, 100),
        ("share", "1e-1", 0.1),
        ("share", 2, 2),
        ("cancelled", "TRUE", True),
        ("cancelled", "false", False),
        ("since", "2012-02-29", "2012-02-29"),
        ("since", date(2012, 2, 29), "2012-02-29"),
    ],
)
def test_bind_parameters_converts_text_and_json(name: str, value: object, bound: object) -> None:
    result = define(PARAMETERS).bind_parameters({name: value})[name]
    assert result == bound
    assert type(result) is type(bound)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("carier", "AA", "unknown parameter 'carier'"),
        ("carier", "AA", "did you mean carrier?"),
        ("carrier", "AB", "parameter carrier is 'AB': use one of AA, B6"),
        ("carrier", 5, "write it as a quoted string"),
        ("seats", "many", "parameter seats is 'many': must be an integer"),
        ("seats", "1.0", "must be an integer"),
        ("seats", True, "must be an integer"),
        ("seats", "9" * 19, "must be an integer of at most 18 digits"),
        ("seats", 0, "must be at least 1 and at most 500"),
        ("seats", "501", "must be at least 1 and at most 500"),
        ("share", "nan", "must be a number"),
        ("share", float("inf"), "must be a number"),
        ("share", "1_0", "must be a number"),
        ("share", "0" * 400 + "1", "must be a number"),  # a string of more than 400 characters is not parsed
        ("cancelled", "yes", "must be true or false"),
        ("cancelled", 1, "must be true or false"),
        ("since", "01.02.2013", "write a calendar date as YYYY-MM-DD"),
        ("since", 20130201, "write a calendar date as YYYY-MM-DD"),
    ],
)
def test_bind_parameters_rejects_a_value_in_one_line(name: str, value: object, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        define(PARAMETERS).bind_parameters({name: value})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.report == "flights"


def test_bind_parameters_without_a_required_value_is_rejected() -> None:
    with pytest.raises(ParameterError, match="parameter day is required: pass a value"):
        define({"day": {"type": "date"}}).bind_parameters({"day": None})


def test_sql_binds_of_date_parameters_are_dates() -> None:
    definition = define(PARAMETERS)
    binds = definition.sql_binds(definition.bind_parameters({"carrier": "AA"}))
    assert binds["since"] == date(2013, 1, 1)
    assert binds["carrier"] == "AA"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "text"}, "'string', 'integer', 'number', 'boolean' or 'date'"),
        ({"type": "string", "enum": ["AA", False]}, "is false: quote it, as in 'false'"),
        ({"type": "string", "enum": ["AA", "AA"]}, "'AA' is listed twice"),
        ({"type": "string", "enum": []}, "is empty"),
        ({"type": "string", "enum": ["AA"], "default": "B6"}, "is 'B6': use one of AA"),
        ({"type": "integer", "default": "5"}, "is the string '5': write the number 5 without quotes"),
        ({"type": "integer", "default": 5.0}, "must be an integer"),
        ({"type": "integer", "minimum": 5, "default": 4}, "must be at least 5"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "greater than the maximum"),
        ({"type": "string", "minimum": 5}, "applies only to integer and number"),
        ({"type": "date", "default": "2013-02-30"}, "write a calendar date"),
        ({"type": "number", "default": float("nan")}, "must be a number"),
    ],
)
def test_contradictory_parameter_is_rejected(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Parameter.model_validate(fields)
    assert message in str(caught.value)
