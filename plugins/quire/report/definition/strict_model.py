"""The base class for all models in a definition, and the error that their validators raise."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

FIELD_ERROR = "quire_field_error"


class StrictModel(BaseModel):
    """A frozen model for a mapping in the YAML file; rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def field_error(reason: str, *path: str | int) -> PydanticCustomError:
    """Returns an error about a field, for a validator on the field's model to raise.

    Args:
        reason: the message, which follows the field's path and a colon.
        path: the field's path within the model; without it, pydantic reports only the model's path.
    """
    return PydanticCustomError(FIELD_ERROR, "{reason}", {"reason": reason, "path": path})


def value_kind(value: Any) -> str:
    """Tags a value as a word or a mapping, so that errors refer to the form in which the author wrote the value."""
    return "<word>" if isinstance(value, str) else "<mapping>"
