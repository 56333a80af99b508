"""Parses a body into an event: a row's key, a time and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from quire.inbound_webhooks.exact_json import read_json
from quire.inbound_webhooks.json_path import ABSENT, find_value
from quire.inbound_webhooks.rejections import RejectedBodyError
from quire.inbound_webhooks.webhook_definition import WebhookDefinition

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# An event dated in the future would override real events until that date. A margin of one day allows for clocks in the
# wrong time zone.
MAX_AHEAD = timedelta(days=1)
Stamp = tuple[str, str]
"""An event's time (UTC, microseconds, fixed length) and its ID. Newer stamps compare greater."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change to one row.

    Args:
        stamp: determines the order of events.
        keys: the key columns' values.
        values: the values by column. Values that the body omits are left out; null becomes None.
        deletes: whether the event deletes the row; if so, the event has no values.
    """

    stamp: Stamp
    keys: Mapping[str, object]
    values: Mapping[str, object]
    deletes: bool = False


def read_event(body: bytes | bytearray, *, event_id: str, definition: WebhookDefinition) -> Event:
    """Parses a body.

    Raises:
        RejectedBodyError: the body is not a JSON object; a key or the time is missing or invalid; or the time is more
            than ``MAX_AHEAD`` in the future.
    """
    content = _parse_object(body)
    keys = {column: _read_key(content, column, path) for column, path in definition.keys.items()}
    at = _parse_time(find_value(content, definition.event_time.path), definition.event_time.path)
    if at - datetime.now(UTC) > MAX_AHEAD:
        raise RejectedBodyError(f"{definition.event_time.path} is more than one day in the future: {at.isoformat()}")
    stamp = (at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z", event_id)
    rule = definition.delete_when
    if rule and _is_equal(find_value(content, rule.path), rule.equals):
        return Event(stamp, keys, {}, deletes=True)
    content_values = {column: find_value(content, path) for column, path in definition.columns.items()}
    values = {column: value for column, value in content_values.items() if value is not ABSENT}
    if definition.event_time.column:
        values[definition.event_time.column] = stamp[0]
    return Event(stamp, keys, values)


def _parse_object(body: bytes | bytearray) -> Mapping[str, object]:
    try:
        content = read_json(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RejectedBodyError("the body is not UTF-8") from error
    except ValueError as error:
        raise RejectedBodyError(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise RejectedBodyError("the body is not a JSON object")
    return content


def _read_key(content: Mapping[str, object], column: str, path: str) -> object:
    value = find_value(content, path)
    if value is ABSENT or value is None:
        raise RejectedBodyError(f"{path} is {'missing' if value is ABSENT else 'null'}: the key {column} needs a value")
    return value


def _is_equal(value: object, wanted: object) -> bool:
    """Returns whether two values have the same type and are equal. In JSON, unlike in Python, true does not equal 1."""
    return type(value) is type(wanted) and value == wanted


def _parse_time(value: object, path: str) -> datetime:
    if value is ABSENT or value is None:
        raise RejectedBodyError(f"{path} is {'missing' if value is ABSENT else 'null'}: the event needs a time")
    try:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return EPOCH + timedelta(microseconds=int(Decimal(value) * 1_000_000))
        at = datetime.fromisoformat(str(value)) if isinstance(value, str) else None
        if at is not None and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise RejectedBodyError(f"{path} is neither an ISO 8601 time with a zone nor seconds since 1970")
