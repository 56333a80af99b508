"""Bodies are parsed into events: keys, times, values and deletions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quire.inbound_webhooks.event import read_event
from quire.inbound_webhooks.rejections import RejectedBodyError
from quire.inbound_webhooks.webhook_definition import WebhookDefinition

from tests.inbound_webhooks.shop import body_of, event_of, write_webhook


@pytest.fixture
def definition(tmp_path: Path) -> WebhookDefinition:
    return write_webhook(tmp_path)


def test_read_event_returns_stamp_keys_and_values(definition: WebhookDefinition) -> None:
    event = event_of(definition, body_of(7, 1.5, customer="Ann", note=None), event_id="msg_1")
    assert event.stamp == ("2013-03-01T12:00:01.500000Z", "msg_1")
    assert event.keys == {"id": 7}
    assert event.values == {"customer": "Ann", "note": None, "seen_at": "2013-03-01T12:00:01.500000Z"}
    assert not event.deletes


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ('"2013-03-01T13:00:00+01:00"', "2013-03-01T12:00:00.000000Z"),
        ('"2013-03-01 12:00Z"', "2013-03-01T12:00:00.000000Z"),
        ('"2013-03-01T12:00:00.123456789Z"', "2013-03-01T12:00:00.123456Z"),
        ("1362139200", "2013-03-01T12:00:00.000000Z"),
        ("1362139200.000001", "2013-03-01T12:00:00.000001Z"),
        ("-1", "1969-12-31T23:59:59.000000Z"),
        ('"0001-01-01T00:00:00Z"', "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_event_time_is_normalized_to_utc_microseconds(definition: WebhookDefinition, text: str, at: str) -> None:
    body = f'{{"timestamp": {text}, "data": {{"order": {{"id": 1}}}}}}'.encode()
    assert event_of(definition, body).stamp[0] == at


@pytest.mark.parametrize("text", ['"0001-01-01T00:00:00+01:00"', '"yesterday"', '"2013-03-01"', "1e300", "[]", "{}"])
def test_event_time_invalid_is_rejected(definition: WebhookDefinition, text: str) -> None:
    body = f'{{"timestamp": {text}, "data": {{"order": {{"id": 1}}}}}}'.encode()
    with pytest.raises(RejectedBodyError, match="timestamp is neither an ISO 8601 time"):
        event_of(definition, body)


def test_deleting_event_has_no_values(definition: WebhookDefinition) -> None:
    event = event_of(definition, body_of(7, kind="order.deleted", customer="Ann"))
    assert (event.deletes, event.values) == (True, {})


@pytest.mark.parametrize(("equals", "deletes"), [(True, True), (1, False), ("true", False)])
def test_delete_when_matches_only_same_type(tmp_path: Path, equals: Any, deletes: bool) -> None:
    definition = write_webhook(tmp_path, delete_when={"path": "data.order.gone", "equals": equals})
    assert event_of(definition, body_of(gone=True)).deletes == deletes


def test_body_not_utf8_is_rejected(definition: WebhookDefinition) -> None:
    with pytest.raises(RejectedBodyError, match="not UTF-8"):
        read_event(b"\xff", event_id="m", definition=definition)
