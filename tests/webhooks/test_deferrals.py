"""Deliveries that cannot be taken now: the sender is asked to come again, and then they are."""

from __future__ import annotations

import http.client
import select
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from quire.local_stack.postgres_server import PostgresServer
from quire.webhooks import body_memory
from quire.webhooks import delivery_app as app_module

from tests.postgres.tracking.tables import run_sql
from tests.webhooks.conftest import open_shop
from tests.webhooks.shop import (
    WHOLE,
    Shop,
    body_of,
    nothing_was_left,
    refusal,
    rows,
    sign,
    told,
    write_source,
)


@pytest.mark.parametrize(
    "harm",
    [
        "DROP TABLE orders",
        "ALTER TABLE orders DROP COLUMN note",
        "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
        "DROP SCHEMA quire CASCADE",
    ],
)
def test_source_that_is_not_set_up_is_ours_to_mend_and_tells_nothing(
    shop: Shop, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    run_sql(shop.database, harm)
    answer = shop.post(WHOLE)
    assert refusal(answer) == (503, "the webhook cannot accept deliveries right now. Retry later")
    assert answer.headers["retry-after"] == "30"
    assert "deferred" in caplog.text


@pytest.mark.parametrize("text", ["table: [", "tabel: public.orders\n"])
def test_source_whose_file_is_torn_asks_to_deliver_again(shop: Shop, text: str) -> None:
    (shop.include / "webhooks" / "orders.yaml").write_text(text)
    assert shop.post(WHOLE).status_code == 503
    write_source(shop.include)
    assert shop.post(WHOLE).status_code == 200


def test_secrets_that_are_no_secrets_ask_to_deliver_again(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.passwords["shop_signing"] = "hunter2"
    assert shop.post(WHOLE).status_code == 503
    assert "secret 1 of the connection shop_signing is not whsec_" in caplog.text
    assert "hunter2" not in caplog.text


def test_row_whose_parent_is_still_to_come_is_to_be_delivered_again(shop: Shop) -> None:
    run_sql(
        shop.database,
        "CREATE TABLE states (name varchar(10) PRIMARY KEY)",
        "ALTER TABLE orders ADD FOREIGN KEY (status) REFERENCES states",
    )
    headers = sign(WHOLE)
    assert shop.post(WHOLE, headers=headers).status_code == 503
    assert nothing_was_left(shop)
    run_sql(shop.database, "INSERT INTO states VALUES ('new')")
    assert shop.post(WHOLE, headers=headers).json() == {"status": "applied"}


@pytest.fixture
def own_server(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("hooks"), password="secret")
    server.start()
    yield server
    server.stop()


def test_delivery_while_postgresql_is_away_is_taken_when_it_comes_again(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    with open_shop(own_server.url(), tmp_path) as shop:
        headers = sign(WHOLE)
        own_server.stop()
        away = shop.post(WHOLE, headers=headers)
        assert (away.status_code, away.headers["retry-after"]) == (503, "30")
        assert "127.0.0.1" not in away.text
        own_server.start()
        assert shop.post(WHOLE, headers=headers).json() == {"status": "applied"}
        assert [row[1] for row in rows(shop)] == ["Ann"]


def test_deliveries_that_wait_too_long_are_asked_to_come_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MAX_WAIT_SECONDS", 0.05)
    bodies = [(f"msg_{n}", body_of(n, customer="Ann")) for n in range(40)]
    assert told(shop.post_all(bodies), lambda answer: answer.json()["status"]) == {"applied": 40}
    assert len(rows(shop)) == 40
    assert shop.deferred


def test_bodies_that_are_not_verified_share_a_limit_of_memory(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_memory, "MAX_HELD_BYTES", 100_000)
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
