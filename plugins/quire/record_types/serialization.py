"""Converts records to JSON values and back, and computes digests of JSON values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from dataclasses import asdict, is_dataclass
from datetime import date
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import AliasChoices, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from quire.errors import IntegrityError

Record = TypeVar("Record")


def to_json(record: Any) -> Any:
    """Converts a record or a sequence of records to JSON values, with dates in ISO 8601."""
    if is_dataclass(record) and not isinstance(record, type):
        return {name: to_json(value) for name, value in asdict(record).items()}
    if isinstance(record, dict):
        return {str(name): to_json(value) for name, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_json(item) for item in record]
    return record.isoformat() if isinstance(record, date) else record


def from_json(kind: type[Record], value: Any, *, source: str = "a task's return value") -> Record:
    """Converts the output of ``to_json`` back to a record.

    Args:
        kind: the record type.
        value: JSON values.
        source: what error messages call the value's origin.

    Raises:
        IntegrityError: the value is not a record of this type.
    """
    try:
        record: Record = _adapter(cast(Hashable, kind)).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "value"
        raise IntegrityError(
            f"{source} is not a valid {getattr(kind, '__name__', 'record')}: {field}: {first['msg']}"
        ) from error
    return record


def field_names(kind: type[Any]) -> frozenset[str]:
    """Returns a record's field names, including those from earlier versions."""
    hints = get_type_hints(kind, include_extras=True)
    aliases = [
        alias
        for hint in hints.values()
        for info in getattr(hint, "__metadata__", ())
        if isinstance(info, FieldInfo) and isinstance(info.validation_alias, AliasChoices)
        for alias in info.validation_alias.choices
        if isinstance(alias, str)
    ]
    return frozenset((*hints, *aliases))


def digest(*parts: Any) -> str:
    """Serializes the parts to JSON, and returns the first 128 bits of the SHA-256 as 32 hexadecimal digits."""
    text = json.dumps(to_json(parts), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Returns the validator for a record type. The validator is cached because building it takes a millisecond."""
    return TypeAdapter(kind)
