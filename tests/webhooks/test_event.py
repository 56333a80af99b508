"""Reading bodies: keys, time, values, and which events delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quire.webhooks.event import read_event
from quire.webhooks.rejections import BodyRejected
from quire.webhooks.webhook_definition import WebhookDefinition

from tests.webhooks.shop import body_of, event_of, write_source


@pytest.fixture
def definition(tmp_path: Path) -> WebhookDefinition:
    return write_source(tmp_path)


def test_event_has_what_the_body_has(definition: WebhookDefinition) -> None:
    event = event_of(definition, body_of(7, 1.5, customer="Ann", note=None), event_id="msg_1")
    assert event.stamp == ("2013-03-01T12:00:01.500000Z", "msg_1")
    assert event.keys == {"id": 7}
    assert event.values == {"customer": "Ann", "note": None, "seen_at": "2013-03-01T12:00:01.500000Z"}
    assert not event.deletes


@pytest.mark.parametrize(
    ("written", "at"),
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
def test_time_is_told_in_utc_and_always_as_long(definition: WebhookDefinition, written: str, at: str) -> None:
    body = f'{{"timestamp": {written}, "data": {{"order": {{"id": 1}}}}}}'.encode()
    assert event_of(definition, body).stamp[0] == at


@pytest.mark.parametrize("written", ['"0001-01-01T00:00:00+01:00"', '"yesterday"', '"2013-03-01"', "1e300", "[]", "{}"])
def test_time_that_is_none_is_refused(definition: WebhookDefinition, written: str) -> None:
    body = f'{{"timestamp": {written}, "data": {{"order": {{"id": 1}}}}}}'.encode()
    with pytest.raises(BodyRejected, match="timestamp is neither an ISO 8601 time"):
        event_of(definition, body)


def test_event_that_deletes_has_no_values(definition: WebhookDefinition) -> None:
    event = event_of(definition, body_of(7, kind="order.deleted", customer="Ann"))
    assert (event.deletes, event.values) == (True, {})


@pytest.mark.parametrize(("equals", "deletes"), [(True, True), (1, False), ("true", False)])
def test_value_that_deletes_is_of_the_same_type(tmp_path: Path, equals: Any, deletes: bool) -> None:
    definition = write_source(tmp_path, delete_when={"path": "data.order.gone", "equals": equals})
    assert event_of(definition, body_of(gone=True)).deletes == deletes


def test_body_that_is_no_text_is_refused(definition: WebhookDefinition) -> None:
    with pytest.raises(BodyRejected, match="not UTF-8"):
        read_event(b"\xff", event_id="m", definition=definition)
