"""A store that refuses connections for a moment is waited for."""

from __future__ import annotations

import random
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from quire.errors import StoreUnavailableError
from quire.object_store import ObjectStore
from quire.object_store.body import READ_ATTEMPTS
from quire.object_store.store import MAX_RETRIES

from tests.faults.s3_proxy import Exchange, S3Proxy
from tests.faults.spoilers import FAULTS

SECONDS_REFUSED = 0.8
BODY = b"0123456789" * 10


def refuse(exchange: Exchange) -> None:
    exchange.proxy.refuse_connections(SECONDS_REFUSED)
    exchange.reset()


def test_store_that_refuses_connections_for_a_moment_is_waited_for(bucket: ObjectStore) -> None:
    random.seed(16)  # botocore's delays are random
    bucket.put("k", b"body")
    place = urlsplit(bucket.settings.endpoint_url or "")
    with S3Proxy((place.hostname or "", place.port or 0), target="GET k #1", spoil=refuse) as proxy:
        behind = ObjectStore(replace(bucket.settings, endpoint_url=f"http://127.0.0.1:{proxy.port}"))
        assert behind.read("k") == b"body"
        assert proxy.met.is_set()


def behind_proxy(store: ObjectStore, proxy: S3Proxy) -> ObjectStore:
    return ObjectStore(replace(store.settings, endpoint_url=f"http://127.0.0.1:{proxy.port}"))


@pytest.mark.parametrize(
    ("fault", "requests"), [("500", MAX_RETRIES + 1), ("truncated", READ_ATTEMPTS)], ids=["no answer", "broken answer"]
)
def test_read_that_fails_every_time_is_repeated_in_one_layer_only(
    bucket: ObjectStore, fault: str, requests: int
) -> None:
    bucket.put("k", BODY)
    place = urlsplit(bucket.settings.endpoint_url or "")
    spoiled: list[str] = []

    def spoil(exchange: Exchange) -> None:
        spoiled.append(exchange.request.first_line)
        FAULTS[fault].spoil(exchange)

    with S3Proxy((place.hostname or "", place.port or 0), target="GET k", spoil=spoil) as proxy:
        with pytest.raises(StoreUnavailableError):
            behind_proxy(bucket, proxy).read("k")
    assert len(spoiled) == requests


@pytest.mark.parametrize("part", [0.2, 0.4, 0.5, 0.6, 0.8])
def test_headers_that_break_off_are_asked_for_again(bucket: ObjectStore, part: float) -> None:
    bucket.put("k", BODY)
    place = urlsplit(bucket.settings.endpoint_url or "")

    def cut(exchange: Exchange) -> None:
        headers = exchange.forward().to_bytes()
        exchange.client.sendall(headers[: round(len(headers) * part)])
        exchange.hang_up()

    for ask in (ObjectStore.size, ObjectStore.age):
        with S3Proxy((place.hostname or "", place.port or 0), target="HEAD k #1", spoil=cut) as proxy:
            whole = ask(bucket, "k")
            answer = ask(behind_proxy(bucket, proxy), "k")
            assert proxy.met.is_set()
        assert answer == whole if isinstance(whole, int) else answer is not None
