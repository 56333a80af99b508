"""The parameters in a report's query; run requests supply their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from quire.date_range import parse_date
from quire.errors import ParameterError, RangeError, short_repr
from quire.report.definition.field_types import Label, Prose
from quire.report.definition.name_checks import suggestion
from quire.report.definition.strict_model import StrictModel, field_error
from quire.report.sql_literal import TypedNull

ParameterType = Literal["string", "integer", "number", "boolean", "date"]
ParameterValue = str | int | float | bool | None
MAX_NUMBER = 1e300  # both doubles and PostgreSQL's numeric can represent it
MAX_NUMBER_LENGTH = 400  # in characters; written without an exponent, 1e300 has 301 digits
DEFAULT_MAX_LENGTH = 1_000
MAX_LENGTH = 50_000  # a portal request's body is limited to 64 kB
MAX_ENUM_VALUES = 1_000  # the form shows all values in one list
NULL_TYPES = {
    "integer": "integer",
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
}  # PostgreSQL types of NULL values
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
NUMBER = re.compile(r"[+-]?+(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?+[0-9]++)?")


class Parameter(StrictModel):
    """A parameter, which is required unless it has a default; ``default: null`` binds NULL.

    ``enum``, ``default``, ``minimum`` and ``maximum`` contain values of ``type``; dates are written as ``YYYY-MM-DD``.
    ``max_length`` is the maximum number of characters in a string.
    """

    type: ParameterType
    title: Label = ""
    description: Prose = ""
    enum: tuple[Any, ...] | None = None
    minimum: float | None = Field(default=None, strict=True, allow_inf_nan=False)
    maximum: float | None = Field(default=None, strict=True, allow_inf_nan=False)
    max_length: int = Field(default=DEFAULT_MAX_LENGTH, ge=1, le=MAX_LENGTH, strict=True)
    default: Any = None

    @property
    def required(self) -> bool:
        """Whether a run must supply a value."""
        return "default" not in self.model_fields_set

    def read(self, value: object) -> ParameterValue:
        """Converts a value to a JSON value of the parameter's type; accepts strings from the command line.

        Raises:
            ValueError: the value has the wrong type or is not allowed; the message completes "parameter x is …".
        """
        if value is None:
            if self.required:
                raise ValueError("required: pass a value")
            return None
        if self.type == "string" and isinstance(value, str) and len(value) > self.max_length:
            raise ValueError(f"{len(value):,} characters long: the maximum is {self.max_length:,}")
        parsed = PARSERS[self.type](value)
        if self.enum is not None and parsed not in self.enum:
            listed = ", ".join(map(str, self.enum))
            raise ValueError(f"{short_repr(value)}: use one of {listed}{suggestion(value, map(str, self.enum))}")
        if isinstance(parsed, int | float) and not self._in_bounds(parsed):
            raise ValueError(f"{short_repr(value)}: must be {self._bounds()}")
        return parsed

    def _in_bounds(self, value: float) -> bool:
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    def _bounds(self) -> str:
        low = None if self.minimum is None else f"at least {self.minimum:g}"
        high = None if self.maximum is None else f"at most {self.maximum:g}"
        return " and ".join(bound for bound in (low, high) if bound)

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if "max_length" in self.model_fields_set and self.type != "string":
            raise field_error("applies only to strings", "max_length")
        for name in ("minimum", "maximum"):
            if getattr(self, name) is not None and self.type not in ("integer", "number"):
                raise field_error(f"applies only to integer and number, not to {self.type}", name)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise field_error(f"is {self.minimum:g}, greater than the maximum {self.maximum:g}", "minimum")
        return self

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if self.enum is not None and not self.enum:
            raise field_error("is empty: remove it to allow every value", "enum")
        members = self.enum or ()
        if len(members) > MAX_ENUM_VALUES:
            raise field_error(f"has {len(members):,} values; the maximum is {MAX_ENUM_VALUES:,}", "enum")
        for position, member in enumerate(members):
            self._check_value(member, "enum", position)
            if member in members[:position]:
                raise field_error(f"{short_repr(member)} is listed twice", "enum", position)
        if self.default is not None:
            self._check_value(self.default, "default")
        return self

    def _check_value(self, value: object, *path: str | int) -> None:
        try:
            if self.type == "string" and isinstance(value, int | float):
                raise ValueError(f"{_kind_and_value(value)}: quote it, as in '{_plain(value)}'")
            if self.type not in ("string", "date") and isinstance(value, str):
                intended = PARSERS[self.type](value)
                raise ValueError(f"the string {short_repr(value)}: write {_kind_and_value(intended)} without quotes")
            if type(self.read(value)) is not type(value) and not (self.type == "number" and isinstance(value, float)):
                raise ValueError(f"{short_repr(value)}: write it as {_article(self.type)}")
        except ValueError as error:
            raise field_error(f"is {error}", *path) from error


def bind_parameters(
    parameters: Mapping[str, Parameter], values: Mapping[str, object], *, report: str
) -> dict[str, ParameterValue]:
    """Returns a JSON value for every parameter: the given value, or the default.

    Raises:
        ParameterError: a name is unknown, or a value is missing, has the wrong type or is not allowed.
    """
    for name in values:
        if name not in parameters:
            hint = suggestion(name, parameters) or f"; valid parameters: {', '.join(parameters) or 'none'}"
            raise ParameterError(f"unknown parameter {short_repr(name)}{hint}", report=report)
    bound = {}
    for name, parameter in parameters.items():
        try:
            bound[name] = parameter.read(values[name] if values.get(name) is not None else parameter.default)
        except ValueError as error:
            raise ParameterError(f"parameter {name} is {error}", report=report) from error
    return bound


def sql_bind(value: ParameterValue, kind: ParameterType) -> ParameterValue | date | TypedNull:
    """Converts a date string to a date, and None to a NULL of the parameter's type, for ``sql_template.bind``.

    Strings and the NULLs of string parameters remain untyped, so that a query can compare them with columns of any
    type.
    """
    if value is None:
        return TypedNull(NULL_TYPES[kind]) if kind in NULL_TYPES else None
    return date.fromisoformat(value) if kind == "date" and isinstance(value, str) else value


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind_and_value(value: object) -> str:
    return _plain(value) if isinstance(value, bool) else f"the number {_plain(value)}"


def _article(kind: str) -> str:
    return {"integer": "an integer", "string": "quoted text", "date": "a quoted date"}.get(kind, f"a {kind}")


def _parse_string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{short_repr(value)}: write it as a quoted string")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"{short_repr(value)}: PostgreSQL text cannot contain NUL or unpaired surrogates")
    return value


def _parse_integer(value: object) -> int:
    if isinstance(value, str) and INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return value
    raise ValueError(f"{short_repr(value)}: must be an integer of at most 18 digits")


def _parse_number(value: object) -> int | float:
    if isinstance(value, str) and len(value) <= MAX_NUMBER_LENGTH and NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and -MAX_NUMBER < value < MAX_NUMBER:
        return int(value) if value == int(value) else value  # so that requests with 5 and with 5.0 are identical
    raise ValueError(f"{short_repr(value)}: must be a number")


def _parse_boolean(value: object) -> bool:
    if isinstance(value, str) and value.casefold() in ("true", "false"):
        return value.casefold() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError(f"{short_repr(value)}: must be true or false")


def _parse_date(value: object) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return parse_date(str(value), name="value").isoformat()
    except RangeError as error:
        raise ValueError(f"{short_repr(value)}: write a calendar date as YYYY-MM-DD") from error


PARSERS: Mapping[str, Callable[[object], str | int | float | bool]] = {
    "string": _parse_string,
    "integer": _parse_integer,
    "number": _parse_number,
    "boolean": _parse_boolean,
    "date": _parse_date,
}
