"""Tests concurrent deliveries over real connections to a real server and a real PostgreSQL database."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.inbound_webhooks.own_process import own_process
from tests.inbound_webhooks.shop import Shop, body_of, count_by
from tests.postgres.tracking.tables import ask

pytestmark = pytest.mark.server

COLUMNS = ("customer", "status", "amount", "note")


def status(answer: Any) -> str:
    return f"{answer.status_code} {answer.json().get('status')}"


def test_ingest_500_concurrent_deliveries_of_one_event_writes_one_row(shop: Shop) -> None:
    body = body_of(1, customer="Ann", amount=1)
    answers = shop.post_all([("msg_1", body)] * 500)
    assert count_by(answers, status) == {"200 applied": 1, "200 repeated": 499}
    assert ask(shop.database, "SELECT id, customer FROM orders") == [(1, "Ann")]
    assert ask(shop.database, "SELECT source, event_id FROM quire.webhook_event") == [("orders", "msg_1")]
    assert ask(shop.database, "SELECT key, applied FROM quire.webhook_record") == [(["1"], True)]


@pytest.fixture
def two_servers(shop: Shop) -> Iterator[Shop]:
    with own_process(shop.include, shop.database) as other:
        yield replace(shop, others=(other,))


def test_ingest_one_event_through_two_processes_writes_one_row(two_servers: Shop) -> None:
    answers = two_servers.post_all([("msg_1", body_of(1, customer="Ann"))] * 300)
    assert count_by(answers, status) == {"200 applied": 1, "200 repeated": 299}
    assert count_by(answers, lambda answer: str(answer.url.port)).keys() == {
        str(httpx.URL(address).port) for address in (two_servers.address, *two_servers.others)
    }
    assert ask(two_servers.database, "SELECT id, customer FROM orders") == [(1, "Ann")]


def test_ingest_one_key_through_two_processes_loses_no_event(two_servers: Shop) -> None:
    deliveries = [(f"msg_{n}", body_of(1, n, customer=f"c{n}", **{COLUMNS[1 + n % 3]: f"{n}"})) for n in range(1, 60)]
    random.Random(11).shuffle(deliveries)  # noqa: S311
    answers = two_servers.post_all(deliveries)
    assert {answer.status_code for answer in answers} == {200}
    rows = ask(two_servers.database, "SELECT customer, status, amount::int, note FROM orders")
    assert rows == [("c59", "57", 58, "59")]


def test_ingest_concurrent_bodies_with_one_id_writes_one_row(shop: Shop) -> None:
    bodies = [body_of(n, customer="Ann") for n in range(1, 41)]
    answers = shop.post_all([("msg_1", body) for body in bodies])
    assert count_by(answers, status) == {"200 applied": 1, "409 None": 39}
    assert len(ask(shop.database, "SELECT id FROM orders")) == 1


@pytest.mark.parametrize("seed", range(6))
def test_ingest_concurrent_events_for_one_key_match_sequential_result(shop: Shop, seed: int) -> None:
    """With odd seeds, some events delete the row. Events with the same time are ordered by ID."""
    rng = random.Random(seed)  # noqa: S311 - a fixed sequence
    events = []
    for n in range(50):
        deletes = seed % 2 == 1 and rng.random() < 0.15
        chosen = [name for name in COLUMNS if rng.random() < 0.4]
        events.append((rng.randrange(30), f"msg_{n:02}", deletes, {name: _value(rng, name, n) for name in chosen}))
    expected = _in_order(events)
    rng.shuffle(events)
    answers = shop.post_all(
        (event_id, body_of(1, at, kind="order.deleted" if deletes else "order.updated", **values))
        for at, event_id, deletes, values in events
    )
    assert {answer.status_code for answer in answers} <= {200, 202}
    rows = ask(shop.database, "SELECT customer, status, amount::int, note FROM orders")
    assert rows == expected
    assert ask(shop.database, "SELECT count(*) FROM quire.webhook_event") == [(50,)]
    assert ask(shop.database, "SELECT count(*) FROM quire.webhook_record") == [(1,)]


def _value(rng: random.Random, name: str, n: int) -> object:
    if name != "customer" and rng.random() < 0.2:
        return None
    return n if name == "amount" else f"{name[0]}{n}"


def _in_order(events: list[tuple[int, str, bool, dict[str, object]]]) -> list[tuple[object, ...]]:
    """Applies the events in order to a dictionary, the simplest model of a row."""
    row: dict[str, object] | None = None
    for _, _, deletes, values in sorted(events, key=lambda event: event[:2]):
        row = None if deletes else {**(row or {}), **values}
    if row is None or "customer" not in row:
        return []
    return [(row["customer"], row.get("status"), row.get("amount"), row.get("note", "none"))]


def test_ingest_many_concurrent_keys_loses_no_event(shop: Shop) -> None:
    deliveries = [
        (f"msg_{key}_{n}", body_of(key, n, customer=f"c{n}", amount=n)) for key in range(20) for n in range(10)
    ]
    random.Random(7).shuffle(deliveries)  # noqa: S311
    answers = shop.post_all(deliveries)
    assert count_by(answers, status) == {"200 applied": 200}
    assert ask(shop.database, "SELECT id, customer, amount::int FROM orders ORDER BY id") == [
        (key, "c9", 9) for key in range(20)
    ]
