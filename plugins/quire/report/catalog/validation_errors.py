"""Pydantic's errors in the words of somebody who edits a YAML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from quire.report.catalog.yaml_document import FileProblem, YamlDocument
from quire.report.definition.name_checks import suggestion
from quire.report.definition.strict_model import FIELD_ERROR

MAX_PROBLEMS = 100  # of which lines and likely words are looked up; an error lists the first three
MISSING = "missing"
FOLLOWING = "default_factory_not_called"  # a default that would have come from a field which is told already
CATALOG_KEYS = ("name", "sql_text")  # fields of the whole that are not the file's to set
WORDS = {
    "string_type": "must be text (in quotes, where YAML would read something else)",
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
    """Returns pydantic's first ``MAX_PROBLEMS`` errors, by line.

    A key that is missing because it is misspelt is told once.
    """
    found: list[FileProblem] = []
    meant: set[str] = set()
    for details in error.errors(include_url=False)[:MAX_PROBLEMS]:
        if details["type"] == FOLLOWING:
            continue
        line, field = document.locate(_path(details))
        reason = _reason(details, model)
        found.append(FileProblem(file=file, line=line, field=field, reason=reason))
        if likely := re.search(r"^unknown key; did you mean (\w+)\?", reason):
            meant.add(f"{field.rpartition('.')[0]}.{likely[1]}".lstrip("."))
    kept = [fault for fault in found if not (fault.reason == MISSING and fault.field in meant)]
    return sorted(kept, key=lambda fault: fault.line or 0)


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Returns the reason for a key that no definition has."""
    return f"unknown key{suggestion(key, known) or '; known are ' + ', '.join(known)}"


def known_keys(path: Sequence[str | int], model: type[BaseModel]) -> tuple[str, ...]:
    """Returns the keys that the mapping at ``path`` of a file of that model may have."""
    models: tuple[type[BaseModel], ...] = (model,)
    for part in path:
        # An index, or a name that the file's author chose, stays within the same part.
        inner = [found.model_fields[part] for found in models if isinstance(part, str) and part in found.model_fields]
        if inner:
            models = tuple(found for field in inner for found in _models_in(field.annotation))
    names = dict.fromkeys(name for found in models for name in found.model_fields)
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
    if kind in WORDS:
        return f"is {_shown(value)}: {WORDS[kind]}"
    if kind in ("literal_error", "enum"):
        known = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"is {_shown(value)}: use one of {', '.join(known)}{suggestion(value, known)}"
    return f"is {_shown(value)}: {_bound(details) or details['msg']}"


def _bound(details: ErrorDetails) -> str:
    words: dict[str, Callable[[Any], str]] = {
        "ge": lambda bound: f"must be at least {bound}",
        "gt": lambda bound: f"must be more than {bound:g}",
        "le": lambda bound: f"must be at most {bound:g}",
        "max_length": lambda bound: f"must have at most {bound} characters",
    }
    return next((words[name](bound) for name, bound in details.get("ctx", {}).items() if name in words), "")


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
