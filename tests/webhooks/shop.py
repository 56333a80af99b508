"""A shop that sends its orders, for tests: table, source, and deliveries signed by the specification's library."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import yaml
from quire.webhooks.event import Event, read_event
from quire.webhooks.webhook_definition import WebhookDefinition
from quire.webhooks.webhook_files import find_webhook
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
SOURCE: Mapping[str, Any] = {
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
DIRECTLY: Mapping[str, Any] = {"timeout": 120, "trust_env": False}  # no proxy stands between us and loopback
START = datetime(2013, 3, 1, 12, tzinfo=UTC)


def write_source(include: Path, name: str = "orders", **changes: Any) -> WebhookDefinition:
    """Writes a source's file, some of its fields changed (None: left out), and reads it."""
    (include / "webhooks").mkdir(parents=True, exist_ok=True)
    fields = {key: value for key, value in {**SOURCE, **changes}.items() if value is not None}
    (include / "webhooks" / f"{name}.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    return find_webhook(include, name)


def body_of(
    key: object = 1, second: float = 0, *, kind: str = "order.updated", customer: object = ..., **order: object
) -> bytes:
    """Returns the body of an event that happened so many seconds after ``START``."""
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
    """Returns the headers of a delivery that was signed so many seconds from now, by each of the secrets."""
    event_id = event_id or f"msg_{uuid.uuid4().hex}"
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    signatures = [Webhook(secret).sign(event_id, at, body.decode()) for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
        "content-type": "application/json",
    }


WHOLE = body_of(1, customer="Ann", status="new", amount=12.5, lines=[{"sku": "A", "n": 2}], note=None)


@dataclass(frozen=True, slots=True)
class Shop:
    """Where the source listens, where it writes, and what of it tests change.

    ``others`` are addresses of more server processes. ``deferred`` has the id of each delivery that was told to come
    again.
    """

    address: str
    database: str
    include: Path
    passwords: dict[str, str | None]
    others: tuple[str, ...] = ()
    deferred: list[str] = field(default_factory=list)

    def post(self, body: bytes, *, headers: Mapping[str, str] | None = None, source: str = "orders") -> httpx.Response:
        """Delivers a body once; signed, unless headers are given."""
        return httpx.post(
            f"{self.address}/{source}", content=body, headers=sign(body) if headers is None else headers, **DIRECTLY
        )

    def post_all(self, deliveries: Iterable[tuple[str, bytes]]) -> list[httpx.Response]:
        """Delivers (id, body) pairs all at once, each as a sender does: again, where it is told to come later.

        They go to the server processes in turn.
        """
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
            # a connection each: the server may close one that was kept alive just when it is used again
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            async with httpx.AsyncClient(limits=limits, **DIRECTLY) as client:
                return await asyncio.gather(*[post(client, *delivery) for delivery in deliveries])

        return asyncio.run(post_all())


def told(responses: Iterable[httpx.Response], word: Callable[[httpx.Response], str]) -> dict[str, int]:
    """Counts the words that responses come down to."""
    found: dict[str, int] = {}
    for response in responses:
        found[word(response)] = found.get(word(response), 0) + 1
    return found


def rows(shop: Shop) -> list[tuple[object, ...]]:
    """Returns the orders."""
    return ask(shop.database, "SELECT id, customer, status, amount::text, lines, note, seen_at FROM orders ORDER BY id")


def nothing_was_left(shop: Shop) -> bool:
    """Whether no delivery left a trace."""
    return ask(
        shop.database,
        "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM quire.webhook_event) "
        "+ (SELECT count(*) FROM quire.webhook_record)",
    ) == [(0,)]


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Returns status and reason of an answer that is one clear line."""
    (word, reason), *others = response.json().items()
    assert (word, others, "\n" in reason) == ("error", [], False)
    return response.status_code, reason
