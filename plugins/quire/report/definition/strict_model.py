"""What all parts of a definition share: they are frozen, refuse unknown keys, and say where they are wrong."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

FIELD_ERROR = "quire_fault"


class StrictModel(BaseModel):
    """A mapping of the YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def field_error(reason: str, *path: str | int) -> PydanticCustomError:
    """Returns an error for a validator of a whole part to raise.

    Args:
        reason: what is wrong, in words that follow the field's path and a colon.
        path: the field inside the part; pydantic alone would only name the part.
    """
    return PydanticCustomError(FIELD_ERROR, "{reason}", {"reason": reason, "path": path})


def value_kind(value: Any) -> str:
    """Tells apart what may be written as one word or as a mapping, so that errors speak of the one that was meant."""
    return "<word>" if isinstance(value, str) else "<mapping>"
