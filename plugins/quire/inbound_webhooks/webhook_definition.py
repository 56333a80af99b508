"""The pydantic model for a webhook file, include/webhooks/<webhook>.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from quire.errors import short_repr
from quire.inbound_webhooks.json_path import parse_path
from quire.report.definition.field_types import ConnectionId, Duration, Label
from quire.report.definition.name_checks import find_duplicates
from quire.report.definition.strict_model import StrictModel, field_error

WEBHOOK_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
MAX_TOLERANCE = timedelta(hours=1)  # an attacker can replay a captured delivery within this time


def _webhook_name(text: str) -> str:
    if not WEBHOOK_NAME.fullmatch(text):
        raise ValueError(f"is {short_repr(text)}: use lowercase letters, digits and _, with a letter first")
    return text


def _json_path(text: str) -> str:
    parse_path(text)
    return text


def _table_name(text: str) -> str:
    if not re.fullmatch(r'[^."\s]+\.[^."\s]+', text):
        raise ValueError(f"is {short_repr(text)}: include the schema, such as public.orders")
    return text


WebhookName = Annotated[str, AfterValidator(_webhook_name)]
JsonPath = Annotated[str, Field(max_length=500), AfterValidator(_json_path)]
TableName = Annotated[str, AfterValidator(_table_name)]


class EventTime(StrictModel):
    """The path to the event time, and optionally a column that stores the newest time. A string is a path."""

    path: JsonPath
    column: Label | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class DeleteWhen(StrictModel):
    """An event deletes the row if the value at ``path`` equals ``equals``."""

    path: JsonPath
    equals: StrictStr | StrictBool | StrictInt


class WebhookDefinition(StrictModel):
    """A webhook, which maps paths in the body to columns in a table.

    Args:
        name: the file name without its suffix, and the last part of the URL.
        table: name of the table, including its schema; case-sensitive.
        connection: ID of the Airflow connection used to write to the table.
        signing: ID of the Airflow connection whose password is one or more secrets, separated by spaces.
        keys: the columns of a unique constraint, each with the path to its value.
        event_time: the path to the event time, which is an ISO 8601 time with a time zone or seconds since 1970.
        columns: the other columns to write, each with the path to its value.
        delete_when: identifies events that delete a row; None if no event does.
        max_bytes: the maximum body size.
        tolerance: the maximum difference between a signature's timestamp and the current time, in either direction.
    """

    name: WebhookName
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
        """The schema and the table."""
        schema, _, table = self.table.partition(".")
        return schema, table

    @property
    def written(self) -> tuple[str, ...]:
        """All columns that the webhook writes."""
        extra = (self.event_time.column,) if self.event_time.column else ()
        return (*self.keys, *self.columns, *extra)

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if not self.keys:
            raise field_error("name at least one column", "keys")
        for name in find_duplicates(self.written):
            raise field_error(f"{name} is already in keys, columns or event_time", "columns")
        if self.tolerance > MAX_TOLERANCE:
            raise field_error("is more than 1h: a captured delivery could be replayed for that long", "tolerance")
        return self
