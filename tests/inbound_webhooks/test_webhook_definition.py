"""Errors in webhook files state the file, the field and the reason, and suggest similar names."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from quire.errors import DefinitionError
from quire.inbound_webhooks.webhook_definition import WebhookDefinition
from quire.inbound_webhooks.webhook_files import WebhookFiles, find_webhook, webhook_names
from quire.settings import CLONE

from tests.inbound_webhooks.shop import WEBHOOK, write_webhook
from tests.report.test_definition_cache import replace_keeping_times

FILE = "include/webhooks/orders.yaml"


@pytest.fixture
def include(tmp_path: Path) -> Path:
    return tmp_path / "include"


def test_webhook_has_name_of_its_file_and_defaults(include: Path) -> None:
    definition = write_webhook(include, event_time="timestamp", delete_when=None)
    assert (definition.name, definition.table_parts) == ("orders", ("public", "orders"))
    assert (definition.max_bytes, definition.tolerance) == (262_144, timedelta(minutes=5))
    assert (definition.event_time.path, definition.event_time.column) == ("timestamp", None)
    assert definition.written == ("id", *WEBHOOK["columns"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tabel": "public.orders"}, "tabel: unknown key; did you mean table?"),
        ({"sql_text": ""}, "sql_text: unknown key; valid keys: table, connection"),
        ({"table": "orders"}, "table: is 'orders': include the schema, such as public.orders"),
        ({"connection": None}, "connection: missing"),
        ({"signing": "whsec_a/b+c="}, "signing: is 'whsec_a/b+c=': use letters, digits"),
        ({"keys": {}}, "keys: name at least one column"),
        ({"keys": {"id": "data..id"}}, "keys.id: is 'data..id': start at the top of the body"),
        ({"columns": {"id": "data.id"}}, "columns: id is already in keys, columns or event_time"),
        ({"columns": {"seen_at": "data.at"}}, "columns: seen_at is already in keys, columns or event_time"),
        ({"event_time": {"path": "at", "colum": "x"}}, "event_time.colum: unknown key; did you mean column?"),
        ({"tolerance": "2h"}, "tolerance: is more than 1h"),
        ({"tolerance": "soon"}, "tolerance: is 'soon': write a duration such as"),
        ({"max_bytes": 0}, "max_bytes: is 0: must be at least 1"),
        ({"delete_when": {"path": "type"}}, "delete_when.equals: missing"),
    ],
)
def test_webhook_invalid_field_raises_with_file_and_field(include: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        write_webhook(include, **changes)
    assert str(caught.value).startswith(FILE)
    assert message in str(caught.value)


def test_webhook_with_name_field_raises(include: Path) -> None:
    write_webhook(include)
    file = include / "webhooks" / "orders.yaml"
    file.write_text(f"{file.read_text()}name: orders\n")
    with pytest.raises(DefinitionError, match="name: remove this key: the file name is the webhook's"):
        find_webhook(include, "orders")


def test_find_webhook_unknown_name_suggests_similar(include: Path) -> None:
    write_webhook(include)
    with pytest.raises(DefinitionError, match="no webhook is named 'order' in include/webhooks; did you mean orders"):
        find_webhook(include, "order")


def test_webhook_names_missing_folder_returns_none(include: Path) -> None:
    assert webhook_names(include) == ()
    assert WebhookFiles(include).find("orders") is None


def test_webhook_replaced_by_a_file_of_the_same_size_and_time_is_reread(include: Path) -> None:
    write_webhook(include)
    webhooks = WebhookFiles(include)
    first = webhooks.find("orders")
    assert first is not None
    assert webhooks.find("orders") is first
    replace_keeping_times(include / "webhooks" / "orders.yaml", "public.orders", "public.orderz")
    changed = webhooks.find("orders")
    assert changed is not None
    assert changed.table_parts == ("public", "orderz")


@pytest.mark.parametrize("name", ["Orders", "my-orders", "_orders"])
def test_webhook_invalid_file_name_raises(include: Path, name: str) -> None:
    with pytest.raises(DefinitionError, match="use lowercase letters, digits and _"):
        write_webhook(include, name)


def test_documented_webhook_is_valid_and_has_every_field(include: Path) -> None:
    text = (CLONE / "docs" / "how-to" / "ingest-webhooks.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (include / "webhooks").mkdir(parents=True)
    (include / "webhooks" / "orders.yaml").write_text(block)
    definition = find_webhook(include, "orders")
    assert definition.model_fields_set == set(WebhookDefinition.model_fields)
