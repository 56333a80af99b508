"""A source of webhooks: include/webhooks/<source>.yaml as a frozen pydantic model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from quire.errors import short_repr
from quire.report.definition.field_types import ConnectionId, Duration, Label
from quire.report.definition.name_checks import find_duplicates
from quire.report.definition.strict_model import StrictModel, field_error
from quire.webhooks.json_path import parse_path

SOURCE_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
MAX_TOLERANCE = timedelta(hours=1)  # a captured delivery may be sent again for so long


def _source_name(text: str) -> str:
    if not SOURCE_NAME.fullmatch(text):
        raise ValueError(f"is {short_repr(text)}: a source's name has small letters, digits and _, a letter first")
    return text


def _json_path(text: str) -> str:
    parse_path(text)
    return text


def _table_name(text: str) -> str:
    if not re.fullmatch(r'[^."\s]+\.[^."\s]+', text):
        raise ValueError(f"is {short_repr(text)}: name the schema too, such as public.orders")
    return text


SourceName = Annotated[str, AfterValidator(_source_name)]
JsonPath = Annotated[str, Field(max_length=500), AfterValidator(_json_path)]
TableName = Annotated[str, AfterValidator(_table_name)]


class EventTime(StrictModel):
    """Where an event says when it happened, and a column that is given the newest such time; one word is a path."""

    path: JsonPath
    column: Label | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_word(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class DeleteWhen(StrictModel):
    """What tells an event that deletes: a path, and the value that stands there."""

    path: JsonPath
    equals: StrictStr | StrictBool | StrictInt


class WebhookDefinition(StrictModel):
    """A source.

    Args:
        name: the file's stem, and the last part of its address.
        table: with its schema; letters count as they are written.
        connection: Airflow connection id of a role that writes to it.
        signing: Airflow connection id whose password is one or more secrets, with blanks between.
        keys: the columns of a unique constraint, each with the path of its value.
        event_time: ISO 8601 with a time zone, or seconds since 1970.
        columns: what else is written, each with the path of its value.
        delete_when: which events delete; by default none does.
        max_bytes: of a body.
        tolerance: how far an event's signed time may be from now, before and after.
    """

    name: SourceName
    table: TableName
    connection: ConnectionId
    signing: ConnectionId
    keys: Mapping[Label, JsonPath]
    event_time: EventTime
    columns: Mapping[Label, JsonPath]
    delete_when: DeleteWhen | None = None
    max_bytes: int = Field(default=256 * 1024, ge=1, le=16 * 1024 * 1024, strict=True)
    tolerance: Duration = timedelta(minutes=5)

    @property
    def table_parts(self) -> tuple[str, str]:
        """Schema and table."""
        schema, _, table = self.table.partition(".")
        return schema, table

    @property
    def written(self) -> tuple[str, ...]:
        """All columns that are ever written."""
        extra = (self.event_time.column,) if self.event_time.column else ()
        return (*self.keys, *self.columns, *extra)

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if not self.keys:
            raise field_error("name at least one column", "keys")
        for name in find_duplicates(self.written):
            raise field_error(f"{name} is in keys, columns or event_time already", "columns")
        if self.tolerance > MAX_TOLERANCE:
            raise field_error("is more than 1h: for so long could a captured delivery be sent again", "tolerance")
        return self
