"""A shop for tests: an orders table, a webhook, and deliveries signed by the specification's own library."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import yaml
from quire.inbound_webhooks.event import Event, read_event
from quire.inbound_webhooks.webhook_definition import WebhookDefinition
from quire.inbound_webhooks.webhook_files import find_webhook
from standardwebhooks.webhooks import Webhook

from tests.postgres.tracking.tables import ask

SECRET = "whsec_" + base64.b64encode(b"a secret of the shop's, 32 bytes").decode()
TABLE = """
CREATE TABLE public.orders (
    id bigint PRIMARY KEY,
    customer text NOT NULL,
    status varchar(10),
    amount numeric(12,2),
    lines jsonb,
    note text DEFAULT 'none',
    seen_at timestamptz
)
"""
WEBHOOK: Mapping[str, Any] = {
    "table": "public.orders",
    "connection": "shop_writer",
    "signing": "shop_signing",
    "keys": {"id": "data.order.id"},
    "event_time": {"path": "timestamp", "column": "seen_at"},
    "columns": {
        "customer": "data.order.customer.name",
        "status": "data.order.status",
        "amount": "data.order.amount",
        "lines": "data.order.lines",
        "note": "data.order.note",
    },
    "delete_when": {"path": "type", "equals": "order.deleted"},
}
CLIENT_OPTIONS: Mapping[str, Any] = {"timeout": 120, "trust_env": False}  # ignore proxies
START = datetime(2013, 3, 1, 12, tzinfo=UTC)


def write_webhook(include: Path, name: str = "orders", **changes: Any) -> WebhookDefinition:
    """Writes a webhook file with the given changes (None removes a field), and returns the webhook."""
    (include / "webhooks").mkdir(parents=True, exist_ok=True)
    fields = {key: value for key, value in {**WEBHOOK, **changes}.items() if value is not None}
    (include / "webhooks" / f"{name}.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    return find_webhook(include, name)


def body_of(
    key: object = 1, second: float = 0, *, kind: str = "order.updated", customer: object = ..., **order: object
) -> bytes:
    """Returns the body for an event that occurred ``second`` seconds after ``START``."""
    content: dict[str, object] = {"id": key, **order}
    if customer is not ...:
        content["customer"] = {"name": customer}
    at = (START + timedelta(seconds=second)).isoformat()
    return json.dumps({"type": kind, "timestamp": at, "data": {"order": content}}).encode()


def event_of(definition: WebhookDefinition, body: bytes, *, event_id: str | None = None) -> Event:
    return read_event(body, event_id=event_id or f"msg_{uuid.uuid4().hex}", definition=definition)


def sign(
    body: bytes, *, event_id: str | None = None, seconds: float = 0, secrets: Iterable[str] = (SECRET,)
) -> dict[str, str]:
    """Returns the headers for a delivery, signed with each secret and dated ``seconds`` seconds from now."""
    event_id = event_id or f"msg_{uuid.uuid4().hex}"
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    signatures = [Webhook(secret).sign(event_id, at, body.decode()) for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
        "content-type": "application/json",
    }


ORDER_BODY = body_of(1, customer="Ann", status="new", amount=12.5, lines=[{"sku": "A", "n": 2}], note=None)


@dataclass(frozen=True, slots=True)
class Shop:
    """A webhook that is being served.

    Args:
        address: the server process's URL.
        database: the database URL.
        include: the folder that contains webhooks/.
        passwords: the passwords by connection ID; tests can change them.
        others: the URLs of any other server processes.
        deferred: the IDs of deferred deliveries, appended by ``post_all``.
    """

    address: str
    database: str
    include: Path
    passwords: dict[str, str | None]
    others: tuple[str, ...] = ()
    deferred: list[str] = field(default_factory=list)

    def post(self, body: bytes, *, headers: Mapping[str, str] | None = None, webhook: str = "orders") -> httpx.Response:
        """Delivers a body once, with a valid signature unless headers are given."""
        return httpx.post(
            f"{self.address}/{webhook}",
            content=body,
            headers=sign(body) if headers is None else headers,
            **CLIENT_OPTIONS,
        )

    def post_all(self, deliveries: Iterable[tuple[str, bytes]]) -> list[httpx.Response]:
        """Delivers (ID, body) pairs concurrently to alternating server processes, and retries deferred deliveries."""
        addresses = cycle((self.address, *self.others))

        async def post(client: httpx.AsyncClient, event_id: str, body: bytes) -> httpx.Response:
            while True:
                headers = sign(body, event_id=event_id)
                response = await client.post(f"{next(addresses)}/orders", content=body, headers=headers)
                if response.status_code != 503:
                    return response
                self.deferred.append(event_id)
                await asyncio.sleep(0.2)

        async def post_all() -> list[httpx.Response]:
            # Each delivery opens a connection, because the server may close a kept-alive connection just as it is
            # reused.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            async with httpx.AsyncClient(limits=limits, **CLIENT_OPTIONS) as client:
                return await asyncio.gather(*[post(client, *delivery) for delivery in deliveries])

        return asyncio.run(post_all())


def count_by(responses: Iterable[httpx.Response], label: Callable[[httpx.Response], str]) -> dict[str, int]:
    """Counts responses by label."""
    return dict(Counter(map(label, responses)))


def rows(shop: Shop) -> list[tuple[object, ...]]:
    """Returns the table's rows."""
    return ask(shop.database, "SELECT id, customer, status, amount::text, lines, note, seen_at FROM orders ORDER BY id")


def has_no_records(shop: Shop) -> bool:
    """Returns whether the webhook's table and the delivery tables are empty."""
    return ask(
        shop.database,
        "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM quire.webhook_event) "
        "+ (SELECT count(*) FROM quire.webhook_record)",
    ) == [(0,)]


def error_of(response: httpx.Response) -> tuple[int, str]:
    """Returns an error response's status and message, after checking that the message is a single line."""
    (key, message), *others = response.json().items()
    assert (key, others, "\n" in message) == ("error", [], False)
    return response.status_code, message
