"""A report's parameters: extra binds that whoever starts a run may give."""

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
MAX_NUMBER = 1e300  # a double has it, and so has PostgreSQL
MAX_NUMBER_LENGTH = 400  # characters: 1e300 written out has 301
DEFAULT_MAX_LENGTH = 1_000
MAX_LENGTH = 50_000  # a portal request's whole body has 64 kB
MAX_ENUM_VALUES = 1_000  # a form offers them all in one list
NULL_TYPES = {"integer": "integer", "number": "numeric", "boolean": "boolean", "date": "date"}  # as their literals
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
NUMBER = re.compile(r"[+-]?+(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?+[0-9]++)?")


class Parameter(StrictModel):
    """One parameter. Without ``default`` it is required; ``default: null`` makes it optional, its bind NULL.

    ``enum``, ``default``, ``minimum`` and ``maximum`` are values of ``type``, dates as ``YYYY-MM-DD``. ``max_length``
    is the most characters of a string.
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
        """Whether a run needs a value for it."""
        return "default" not in self.model_fields_set

    def read(self, value: object) -> ParameterValue:
        """Returns a given value as a JSON value of the parameter's type; text from a command line is converted.

        Raises:
            ValueError: it is of another type, or not allowed; the text says so after "is ".
        """
        if value is None:
            if self.required:
                raise ValueError("not given, and has no default")
            return None
        if self.type == "string" and isinstance(value, str) and len(value) > self.max_length:
            raise ValueError(f"{len(value):,} characters long: it may have at most {self.max_length:,}")
        found = READERS[self.type](value)
        if self.enum is not None and found not in self.enum:
            listed = ", ".join(map(str, self.enum))
            raise ValueError(f"{short_repr(value)}: use one of {listed}{suggestion(value, map(str, self.enum))}")
        if isinstance(found, int | float) and not self._in_bounds(found):
            raise ValueError(f"{short_repr(value)}: it must be {self._bounds()}")
        return found

    def _in_bounds(self, value: float) -> bool:
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    def _bounds(self) -> str:
        low = None if self.minimum is None else f"at least {self.minimum:g}"
        high = None if self.maximum is None else f"at most {self.maximum:g}"
        return " and ".join(bound for bound in (low, high) if bound)

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if "max_length" in self.model_fields_set and self.type != "string":
            raise field_error("only a string has a maximum length", "max_length")
        for name in ("minimum", "maximum"):
            if getattr(self, name) is not None and self.type not in ("integer", "number"):
                raise field_error(f"a {self.type} has none: only integer and number have bounds", name)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise field_error(f"is {self.minimum:g}, more than the maximum {self.maximum:g}", "minimum")
        return self

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if self.enum is not None and not self.enum:
            raise field_error("is empty: leave it out to allow every value", "enum")
        members = self.enum or ()
        if len(members) > MAX_ENUM_VALUES:
            raise field_error(f"has {len(members):,} values: at most {MAX_ENUM_VALUES:,} are allowed", "enum")
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
                raise ValueError(f"{_kind_and_value(value)}: write the text '{_plain(value)}', in quotes")
            if self.type not in ("string", "date") and isinstance(value, str):
                meant = READERS[self.type](value)
                raise ValueError(f"the text {short_repr(value)}: write {_kind_and_value(meant)}, without quotes")
            if type(self.read(value)) is not type(value) and not (self.type == "number" and isinstance(value, float)):
                raise ValueError(f"{short_repr(value)}: write it as {_article(self.type)}")
        except ValueError as error:
            raise field_error(f"is {error}", *path) from error


def bind_parameters(
    parameters: Mapping[str, Parameter], given: Mapping[str, object], *, report: str
) -> dict[str, ParameterValue]:
    """Returns a JSON value for every parameter: what was given, else its default.

    Raises:
        ParameterError: a name is unknown, or a value is missing, of another type or not allowed.
    """
    for name in given:
        if name not in parameters:
            listed = ", ".join(parameters) or "none"
            likely = suggestion(name, parameters)
            raise ParameterError(
                f"unknown parameter {short_repr(name)}: this report has {listed}{likely}", report=report
            )
    values = {}
    for name, parameter in parameters.items():
        try:
            values[name] = parameter.read(given[name]) if given.get(name) is not None else _default(parameter)
        except ValueError as error:
            raise ParameterError(f"parameter {name} is {error}", report=report) from error
    return values


def sql_bind(value: ParameterValue, kind: ParameterType) -> ParameterValue | date | TypedNull:
    """Returns a value as the query is given it: a date as a date, and no value as a NULL of the parameter's type.

    A string's NULL is untyped as its values are: it is compared with columns of any type.
    """
    if value is None:
        return TypedNull(NULL_TYPES[kind]) if kind in NULL_TYPES else None
    return date.fromisoformat(value) if kind == "date" and isinstance(value, str) else value


def _default(parameter: Parameter) -> ParameterValue:
    return parameter.read(parameter.default)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind_and_value(value: object) -> str:
    return _plain(value) if isinstance(value, bool) else f"the number {_plain(value)}"


def _article(kind: str) -> str:
    return {"integer": "an integer", "string": "text, in quotes", "date": "a date in quotes"}.get(kind, f"a {kind}")


def _read_string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{short_repr(value)}: write it as text, in quotes")
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValueError(f"{short_repr(value)}: PostgreSQL's text cannot hold the character NUL, nor half of another")
    return value


def _read_integer(value: object) -> int:
    if isinstance(value, str) and INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return value
    raise ValueError(f"{short_repr(value)}: it must be an integer, of 18 digits at most")


def _read_number(value: object) -> int | float:
    if isinstance(value, str) and len(value) <= MAX_NUMBER_LENGTH and NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and -MAX_NUMBER < value < MAX_NUMBER:
        return int(value) if value == int(value) else value  # 5 and 5.0 are one question
    raise ValueError(f"{short_repr(value)}: it must be a number")


def _read_boolean(value: object) -> bool:
    if isinstance(value, str) and value.casefold() in ("true", "false"):
        return value.casefold() == "true"
    if isinstance(value, bool):
        return value
    raise ValueError(f"{short_repr(value)}: it must be true or false")


def _read_date(value: object) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return parse_date(str(value), name="value").isoformat()
    except RangeError as error:
        raise ValueError(f"{short_repr(value)}: write a calendar date as YYYY-MM-DD") from error


READERS: Mapping[str, Callable[[object], str | int | float | bool]] = {
    "string": _read_string,
    "integer": _read_integer,
    "number": _read_number,
    "boolean": _read_boolean,
    "date": _read_date,
}
