"""A body, read: which row it speaks of, when that was, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from quire.webhooks.definition import WebhookDefinition
from quire.webhooks.exact_json import read_json
from quire.webhooks.json_path import ABSENT, find_value
from quire.webhooks.rejections import BodyRefused

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# An event from the future wins over all that happens until then. A clock that is wrong by its time zone is let pass.
MAX_AHEAD = timedelta(days=1)
Stamp = tuple[str, str]
"""When, in UTC to the microsecond and always as long, and the event's id: what comes later is greater."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one row.

    Args:
        stamp: its place in the order.
        keys: of the row, as the body has them.
        values: by column; what the body does not have is not here, and null is None.
        deletes: whether it ends the row; then there are no values.
    """

    stamp: Stamp
    keys: Mapping[str, object]
    values: Mapping[str, object]
    deletes: bool = False


def read_event(body: bytes | bytearray, *, event_id: str, definition: WebhookDefinition) -> Event:
    """Reads a body.

    Raises:
        BodyRefused: it is no JSON object; key or time are not where the definition says; or the time is more than
            ``MAX_AHEAD`` ahead of now.
    """
    content = _object(body)
    keys = {column: _key(content, column, path) for column, path in definition.keys.items()}
    at = _instant(find_value(content, definition.event_time.path), definition.event_time.path)
    if at - datetime.now(UTC) > MAX_AHEAD:
        raise BodyRefused(f"{definition.event_time.path} is more than a day ahead of now: {at.isoformat()}")
    stamp = (at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z", event_id)
    rule = definition.delete_when
    if rule and _same(find_value(content, rule.path), rule.equals):
        return Event(stamp, keys, {}, deletes=True)
    found = {column: find_value(content, path) for column, path in definition.columns.items()}
    values = {column: value for column, value in found.items() if value is not ABSENT}
    if definition.event_time.column:
        values[definition.event_time.column] = stamp[0]
    return Event(stamp, keys, values)


def _object(body: bytes | bytearray) -> Mapping[str, object]:
    try:
        content = read_json(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BodyRefused("the body is not UTF-8") from error
    except ValueError as error:
        raise BodyRefused(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BodyRefused("the body is not a JSON object")
    return content


def _key(content: Mapping[str, object], column: str, path: str) -> object:
    value = find_value(content, path)
    if value is ABSENT or value is None:
        raise BodyRefused(f"{path} is {'missing' if value is ABSENT else 'null'}: it is the row's key {column}")
    return value


def _same(value: object, wanted: object) -> bool:
    """Whether they are equal, and of one type: true is not 1."""
    return type(value) is type(wanted) and value == wanted


def _instant(value: object, path: str) -> datetime:
    if value is ABSENT or value is None:
        raise BodyRefused(f"{path} is {'missing' if value is ABSENT else 'null'}: it is the event's time")
    try:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return EPOCH + timedelta(microseconds=int(Decimal(value) * 1_000_000))
        at = datetime.fromisoformat(str(value)) if isinstance(value, str) else None
        if at is not None and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BodyRefused(f"{path} is not a time with a zone (ISO 8601), nor in seconds since 1970")
