"""Connections of a source whose secrets backend does not answer: its deliveries are deferred, those of others taken."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from quire.webhooks import lookup
from quire.webhooks.definition import WebhookDefinition

from tests.webhooks.serving import serving_orders
from tests.webhooks.shop import DIRECTLY, SECRET, WHOLE, sign, write_source

HUNG_DELIVERIES = 30  # more than a pool has threads


class HangingSecrets(dict[str, str | None]):
    """Passwords by connection; that of ``hung_signing`` does not come before ``answers`` is set."""

    def __init__(self) -> None:
        super().__init__(shop_signing=SECRET)
        self.answers, self.asked = threading.Event(), 0

    def __getitem__(self, connection: str) -> str | None:
        if connection == "hung_signing":
            self.asked += 1
            self.answers.wait()
        return SECRET


def test_secrets_lookup_that_hangs_keeps_no_other_source_waiting(
    fresh_database: str, tmp_path: Path, orders: WebhookDefinition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MAX_LOOKUP_SECONDS", 3.0)
    write_source(tmp_path, "hung", signing="hung_signing")
    passwords = HangingSecrets()
    with serving_orders(tmp_path, fresh_database, passwords) as address, ThreadPoolExecutor(HUNG_DELIVERIES) as pool:

        def post(source: str) -> httpx.Response:
            return httpx.post(f"{address}/{source}", content=WHOLE, headers=sign(WHOLE), **DIRECTLY)

        try:
            hung = [pool.submit(post, "hung") for _ in range(HUNG_DELIVERIES)]
            while not passwords.asked:
                pass
            assert post("orders").json() == {"status": "applied"}
            assert not passwords.answers.is_set()
            assert {answer.result().status_code for answer in hung} == {503}
            assert passwords.asked == 1
        finally:
            passwords.answers.set()
        assert post("hung").json() == {"status": "applied"}
