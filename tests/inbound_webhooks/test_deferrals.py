"""For a deferred delivery, the sender receives 503 with Retry-After; a later retry is applied."""

from __future__ import annotations

import http.client
import select
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from quire.dev_stack.postgres_server import PostgresServer
from quire.inbound_webhooks.delivery_app import DeliveryLimits

from tests.inbound_webhooks.conftest import open_shop
from tests.inbound_webhooks.shop import (
    ORDER_BODY,
    Shop,
    body_of,
    count_by,
    error_of,
    has_no_records,
    rows,
    sign,
    write_webhook,
)
from tests.postgres.tracking.tables import run_sql

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE orders",
        "ALTER TABLE orders DROP COLUMN note",
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
        "DROP SCHEMA quire CASCADE",
    ],
)
def test_delivery_to_webhook_not_set_up_is_deferred_without_details(
    shop: Shop, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    run_sql(shop.database, statement)
    answer = shop.post(ORDER_BODY)
    assert error_of(answer) == (503, "the webhook cannot accept deliveries right now. Retry later")
    assert answer.headers["retry-after"] == "30"
    assert "deferred" in caplog.text


@pytest.mark.parametrize("text", ["table: [", "tabel: public.orders\n"])
def test_delivery_with_invalid_webhook_file_is_deferred(shop: Shop, text: str) -> None:
    (shop.include / "webhooks" / "orders.yaml").write_text(text)
    assert shop.post(ORDER_BODY).status_code == 503
    write_webhook(shop.include)
    assert shop.post(ORDER_BODY).status_code == 200


def test_delivery_with_invalid_secret_is_deferred_and_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.passwords["shop_signing"] = "hunter2"
    assert shop.post(ORDER_BODY).status_code == 503
    assert "secret 1 in the shop_signing connection is not whsec_" in caplog.text
    assert "hunter2" not in caplog.text


def test_delivery_before_referenced_row_is_deferred(shop: Shop) -> None:
    run_sql(
        shop.database,
        "CREATE TABLE states (name varchar(10) PRIMARY KEY)",
        "ALTER TABLE orders ADD FOREIGN KEY (status) REFERENCES states",
    )
    headers = sign(ORDER_BODY)
    assert shop.post(ORDER_BODY, headers=headers).status_code == 503
    assert has_no_records(shop)
    run_sql(shop.database, "INSERT INTO states VALUES ('new')")
    assert shop.post(ORDER_BODY, headers=headers).json() == {"status": "applied"}


@pytest.fixture
def own_server(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("hooks"), password="secret")
    server.start()
    yield server
    server.stop()


def test_delivery_while_postgresql_is_down_is_applied_on_retry(own_server: PostgresServer, tmp_path: Path) -> None:
    with open_shop(own_server.url(), tmp_path) as shop:
        headers = sign(ORDER_BODY)
        own_server.stop()
        away = shop.post(ORDER_BODY, headers=headers)
        assert (away.status_code, away.headers["retry-after"]) == (503, "30")
        assert "127.0.0.1" not in away.text
        own_server.start()
        assert shop.post(ORDER_BODY, headers=headers).json() == {"status": "applied"}
        assert [row[1] for row in rows(shop)] == ["Ann"]


@pytest.mark.parametrize("limits", [DeliveryLimits(wait_seconds=0.05)])
def test_delivery_waiting_too_long_is_deferred(shop: Shop) -> None:
    bodies = [(f"msg_{n}", body_of(n, customer="Ann")) for n in range(40)]
    assert count_by(shop.post_all(bodies), lambda answer: answer.json()["status"]) == {"applied": 40}
    assert len(rows(shop)) == 40
    assert shop.deferred


@pytest.mark.parametrize("limits", [DeliveryLimits(held_bytes=100_000)])
def test_unverified_bodies_over_memory_limit_drop_the_oldest(shop: Shop) -> None:
    place = urlsplit(shop.address)
    with ExitStack() as stack:
        waiting = [
            stack.enter_context(closing(http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)))
            for _ in range(2)
        ]
        for connection in waiting:
            connection.putrequest("POST", f"{place.path}/orders")
            for name, value in {**sign(b""), "content-length": "200000"}.items():
                connection.putheader(name, value)
            connection.endheaders(b" " * 90_000)
        (first, *_), _, _ = select.select([connection.sock for connection in waiting], [], [], 30)
        evicted, other = sorted(waiting, key=lambda connection: connection.sock is not first)
        deferred = evicted.getresponse()
        assert (deferred.status, deferred.headers["retry-after"]) == (503, "30")
        deferred.read()
        assert select.select([other.sock], [], [], 0)[0] == []
        assert shop.post(body_of(1, customer="Ann")).json() == {"status": "applied"}
