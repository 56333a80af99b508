"""The parent class of all models in a definition, and the error that its validators raise."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

FIELD_ERROR = "quire_field_error"


class StrictModel(BaseModel):
    """A mapping in the YAML file: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def field_error(reason: str, *path: str | int) -> PydanticCustomError:
    """Returns an error that a model validator raises for one of the model's fields.

    Args:
        reason: the message, shown after the field's path and a colon.
        path: the field within the model; pydantic by default names only the model.
    """
    return PydanticCustomError(FIELD_ERROR, "{reason}", {"reason": reason, "path": path})


def value_kind(value: Any) -> str:
    """Tags a value as a word or a mapping, so that errors concern the form in use."""
    return "<word>" if isinstance(value, str) else "<mapping>"
