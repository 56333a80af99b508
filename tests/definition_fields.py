"""Finds report definition fields by the dotted paths in the documentation."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from quire.report.definition import ReportDefinition

_REQUIRED: dict[str, Any] = {
    "name": "example",
    "sql_text": "SELECT 1",
    "partition": "month",
    "source": {"sql": "example.sql", "time_column": "at"},
}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yields the models that a field can contain, including those in unions, tuples and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def field_names(model: type[BaseModel] = ReportDefinition) -> set[str]:
    """Returns the names of all of a definition's fields, at any depth."""
    names = set(model.model_fields)
    return names.union(
        *(field_names(part) for field in model.model_fields.values() for part in _models(field.annotation))
    )


def has_path(path: str) -> bool:
    """Returns whether a dotted path exists in a definition. Paths within summaries and parameters may be relative."""
    first, *rest = path.split(".")
    if first not in ReportDefinition.model_fields:
        return set(path.split(".")) - {"name"} <= field_names()
    models = list(_models(ReportDefinition.model_fields[first].annotation))
    mapping = typing.get_origin(ReportDefinition.model_fields[first].annotation) is Mapping
    for name in rest[1:] if mapping else rest:
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        if not fields:
            return False
        models = [part for field in fields for part in _models(field.annotation)]
    return True


def validate_fragment(fragment: Mapping[str, Any]) -> None:
    """Validates part of a definition, after adding any required fields that the part omits.

    Raises:
        pydantic.ValidationError: the part has an unknown field or an invalid value.
    """
    source = {**_REQUIRED["source"], **fragment.get("source", {})}
    ReportDefinition.model_validate({**_REQUIRED, **fragment, "source": source})
