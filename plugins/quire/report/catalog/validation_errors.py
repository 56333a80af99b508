"""Rewords pydantic's errors for authors of YAML files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from quire.report.catalog.yaml_document import FileProblem, YamlDocument
from quire.report.definition.name_checks import suggestion
from quire.report.definition.strict_model import FIELD_ERROR

MAX_PROBLEMS = 100  # limits the number of line lookups; an error lists only the first three problems
MISSING = "missing"
DEFAULT_FROM_INVALID_FIELD = "default_factory_not_called"  # pydantic also reports the invalid field itself
CATALOG_KEYS = ("name", "sql_text")  # the catalog sets these fields; a file must not set them
REQUIREMENTS = {
    "string_type": "must be a string; quote it if YAML reads it as another type",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "mapping_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
}


def validation_problems(
    error: ValidationError, document: YamlDocument, *, file: str, model: type[BaseModel]
) -> list[FileProblem]:
    """Returns pydantic's first ``MAX_PROBLEMS`` errors, sorted by line.

    If a required key is misspelled, the error about the missing key is omitted.
    """
    problems: list[FileProblem] = []
    misspelled: set[str] = set()
    for details in error.errors(include_url=False)[:MAX_PROBLEMS]:
        if details["type"] == DEFAULT_FROM_INVALID_FIELD:
            continue
        line, field = document.locate(_path(details))
        reason = _reason(details, model)
        problems.append(FileProblem(file=file, line=line, field=field, reason=reason))
        if intended := re.search(r"^unknown key; did you mean (\w+)\?", reason):
            misspelled.add(f"{field.rpartition('.')[0]}.{intended[1]}".lstrip("."))
    remaining = [problem for problem in problems if problem.reason != MISSING or problem.field not in misspelled]
    return sorted(remaining, key=lambda problem: problem.line or 0)


def unknown_key(key: str, valid_keys: Sequence[str]) -> str:
    """Returns the error message for a key that the model does not define."""
    return f"unknown key{suggestion(key, valid_keys) or '; valid keys: ' + ', '.join(valid_keys)}"


def known_keys(path: Sequence[str | int], model: type[BaseModel]) -> tuple[str, ...]:
    """Returns the valid keys for the mapping at ``path`` in a file that ``model`` describes."""
    models: tuple[type[BaseModel], ...] = (model,)
    for part in path:
        # The model stays the same for a list index, or for a name that the report's author chose.
        fields = [kind.model_fields[part] for kind in models if isinstance(part, str) and part in kind.model_fields]
        if fields:
            models = tuple(kind for field in fields for kind in _models_in(field.annotation))
    names = dict.fromkeys(name for kind in models for name in kind.model_fields)
    return tuple(name for name in names if model not in models or name not in CATALOG_KEYS)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _path(details: ErrorDetails) -> tuple[str | int, ...]:
    return (*details["loc"], *details.get("ctx", {}).get("path", ()))


def _reason(details: ErrorDetails, model: type[BaseModel]) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        return MISSING
    if kind == "extra_forbidden":
        return unknown_key(str(details["loc"][-1]), known_keys(details["loc"][:-1], model))
    if kind == FIELD_ERROR:
        return str(context["reason"])
    if kind == "value_error":
        return str(context["error"])
    if kind in REQUIREMENTS:
        return f"is {_display(value)}: {REQUIREMENTS[kind]}"
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"is {_display(value)}: use one of {', '.join(choices)}{suggestion(value, choices)}"
    return f"is {_display(value)}: {_bound(details) or details['msg']}"


def _bound(details: ErrorDetails) -> str:
    phrases: dict[str, Callable[[Any], str]] = {
        "ge": lambda bound: f"must be at least {bound}",
        "gt": lambda bound: f"must be more than {bound:g}",
        "le": lambda bound: f"must be at most {bound:g}",
        "max_length": lambda bound: f"must have at most {bound} characters",
    }
    return next((phrases[name](bound) for name, bound in details.get("ctx", {}).items() if name in phrases), "")


def _display(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
