"""While a secrets backend hangs, the connection cache defers only deliveries to the affected webhook."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
from quire.inbound_webhooks.connection_cache import ConnectionCache, LookupLimits
from quire.inbound_webhooks.delivery_app import DeliveryLimits
from quire.inbound_webhooks.rejections import DeliveryDeferredError
from quire.inbound_webhooks.webhook_definition import WebhookDefinition

from tests.inbound_webhooks.serving import serving_orders
from tests.inbound_webhooks.shop import CLIENT_OPTIONS, ORDER_BODY, SECRET, sign, write_webhook

HUNG_DELIVERIES = 30  # more than the number of threads in the event loop's pool
# a lookup is considered hung as soon as it starts
IMMEDIATE_RETRY = LookupLimits(retry_seconds=0.0, max_seconds=0.5)


class HangingSecrets(dict[str, str | None]):
    """Maps connections to passwords, but looking up ``hung_signing`` blocks until ``answers`` is set."""

    def __init__(self) -> None:
        super().__init__(shop_signing=SECRET)
        self.answers, self.lookups = threading.Event(), 0

    def __getitem__(self, connection: str) -> str | None:
        if connection == "hung_signing":
            self.lookups += 1
            self.answers.wait()
        return SECRET


def test_secrets_hanging_lookup_does_not_block_other_webhooks(
    fresh_database: str, tmp_path: Path, orders: WebhookDefinition
) -> None:
    limits = DeliveryLimits(lookups=LookupLimits(max_seconds=3.0))
    write_webhook(tmp_path, "hung", signing="hung_signing")
    passwords = HangingSecrets()
    with (
        serving_orders(tmp_path, fresh_database, passwords, limits=limits) as address,
        ThreadPoolExecutor(HUNG_DELIVERIES) as pool,
    ):

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


class HangingUrls:
    """Returns a different URL for each lookup; the first ``hung`` lookups block until ``answers`` is set."""

    def __init__(self, *, hung: int, limits: LookupLimits = IMMEDIATE_RETRY) -> None:
        self.answers, self.threads, self._hung = threading.Event(), list[threading.Thread](), hung
        self.lookup = ConnectionCache(url=self._find, password=lambda connection: SECRET, limits=limits)

    def ask(self) -> str:
        try:
            return asyncio.run(self._ask())
        except DeliveryDeferredError:
            return "deferred"

    async def _ask(self) -> str:
        return await self.lookup.url("shop")

    def _find(self, connection: str) -> str:
        self.threads.append(threading.current_thread())
        number = len(self.threads)
        if number <= self._hung:
            self.answers.wait()
        return f"postgresql://{number}"


def test_lookup_hanging_for_minutes_is_replaced() -> None:
    urls = HangingUrls(hung=1)
    try:
        assert [urls.ask() for _ in range(3)] == ["deferred", "postgresql://2", "postgresql://2"]
    finally:
        urls.answers.set()
    urls.threads[0].join()
    assert urls.ask() == "postgresql://2"  # the replaced lookup's late result is ignored


def test_lookup_threads_are_bounded_when_all_hang() -> None:
    limits = replace(IMMEDIATE_RETRY, max_seconds=0.02)
    max_threads = limits.max_threads
    urls = HangingUrls(hung=max_threads, limits=limits)
    try:
        assert {urls.ask() for _ in range(max_threads + 3)} == {"deferred"}
        assert len(urls.threads) == max_threads
    finally:
        urls.answers.set()
    for thread in urls.threads[:]:
        thread.join()
    assert urls.ask() == f"postgresql://{max_threads}"  # the newest lookup's URL
