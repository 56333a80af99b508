"""The connection cache while a secrets backend hangs: only deliveries to the affected webhook are deferred."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from quire.inbound_webhooks import connection_cache
from quire.inbound_webhooks.rejections import DeliveryDeferred
from quire.inbound_webhooks.webhook_definition import WebhookDefinition

from tests.inbound_webhooks.serving import serving_orders
from tests.inbound_webhooks.shop import CLIENT_OPTIONS, ORDER_BODY, SECRET, sign, write_webhook

HUNG_DELIVERIES = 30  # more than the number of threads in the event loop's pool


class HangingSecrets(dict[str, str | None]):
    """Returns passwords by connection. Looking up ``hung_signing`` blocks until ``answers`` is set."""

    def __init__(self) -> None:
        super().__init__(shop_signing=SECRET)
        self.answers, self.lookups = threading.Event(), 0

    def __getitem__(self, connection: str) -> str | None:
        if connection == "hung_signing":
            self.lookups += 1
            self.answers.wait()
        return SECRET


def test_secrets_hanging_lookup_does_not_block_other_webhooks(
    fresh_database: str, tmp_path: Path, orders: WebhookDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_cache, "MAX_LOOKUP_SECONDS", 3.0)
    write_webhook(tmp_path, "hung", signing="hung_signing")
    passwords = HangingSecrets()
    with serving_orders(tmp_path, fresh_database, passwords) as address, ThreadPoolExecutor(HUNG_DELIVERIES) as pool:

        def post(webhook: str) -> httpx.Response:
            return httpx.post(f"{address}/{webhook}", content=ORDER_BODY, headers=sign(ORDER_BODY), **CLIENT_OPTIONS)

        try:
            hung = [pool.submit(post, "hung") for _ in range(HUNG_DELIVERIES)]
            while not passwords.lookups:
                pass
            assert post("orders").json() == {"status": "applied"}
            assert not passwords.answers.is_set()
            assert {answer.result().status_code for answer in hung} == {503}
            assert passwords.lookups == 1
        finally:
            passwords.answers.set()
        assert post("hung").json() == {"status": "applied"}


class HangingAddresses:
    """Returns a different address for each lookup. The first ``hung`` lookups block until ``answers`` is set."""

    def __init__(self, *, hung: int) -> None:
        self.answers, self.threads, self._hung = threading.Event(), list[threading.Thread](), hung
        self.lookup = connection_cache.ConnectionCache(address=self._find, password=lambda connection: SECRET)

    def ask(self) -> str:
        try:
            return asyncio.run(self._ask())
        except DeliveryDeferred:
            return "deferred"

    async def _ask(self) -> str:
        return await self.lookup.address("shop")

    def _find(self, connection: str) -> str:
        self.threads.append(threading.current_thread())
        number = len(self.threads)
        if number <= self._hung:
            self.answers.wait()
        return f"postgresql://{number}"


@pytest.fixture
def immediate_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes lookups count as hung as soon as they start."""
    monkeypatch.setattr(connection_cache, "RETRY_SECONDS", 0.0, raising=False)
    monkeypatch.setattr(connection_cache, "MAX_LOOKUP_SECONDS", 0.5)


@pytest.mark.usefixtures("immediate_retry")
def test_lookup_hanging_for_minutes_is_replaced() -> None:
    addresses = HangingAddresses(hung=1)
    try:
        assert [addresses.ask() for _ in range(3)] == ["deferred", "postgresql://2", "postgresql://2"]
    finally:
        addresses.answers.set()
    addresses.threads[0].join()
    assert addresses.ask() == "postgresql://2"  # the late result of the replaced lookup is ignored


@pytest.mark.usefixtures("immediate_retry")
def test_lookup_threads_are_bounded_when_all_hang() -> None:
    addresses = HangingAddresses(hung=connection_cache.MAX_THREADS)
    try:
        assert {addresses.ask() for _ in range(connection_cache.MAX_THREADS + 3)} == {"deferred"}
        assert len(addresses.threads) == connection_cache.MAX_THREADS
    finally:
        addresses.answers.set()
    for thread in addresses.threads[:]:
        thread.join()
    assert addresses.ask() == f"postgresql://{connection_cache.MAX_THREADS}"  # from the newest lookup
