"""Requests are retried during short outages and after damaged responses."""

from __future__ import annotations

import random
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from quire.errors import StoreUnavailableError
from quire.object_store.range_reader import READ_ATTEMPTS
from quire.object_store.s3_store import MAX_RETRIES, S3Store

from tests.faults.fault_types import FAULTS
from tests.faults.http_messages import Message
from tests.faults.s3_proxy import Exchange, S3Proxy

pytestmark = pytest.mark.server

SECONDS_REFUSED = 0.8
BODY = b"0123456789" * 10


def refuse(exchange: Exchange) -> None:
    exchange.proxy.refuse_connections(SECONDS_REFUSED)
    exchange.reset()


def test_read_succeeds_after_a_short_outage(bucket: S3Store) -> None:
    random.seed(16)  # botocore's delays are random
    bucket.put("k", b"body")
    place = urlsplit(bucket.settings.endpoint_url or "")
    with S3Proxy((place.hostname or "", place.port or 0), target="GET k #1", inject=refuse) as proxy:
        proxied = S3Store(replace(bucket.settings, endpoint_url=f"http://127.0.0.1:{proxy.port}"))
        assert proxied.read("k") == b"body"
        assert proxy.met.is_set()


def behind_proxy(store: S3Store, proxy: S3Proxy) -> S3Store:
    return S3Store(replace(store.settings, endpoint_url=f"http://127.0.0.1:{proxy.port}"))


@pytest.mark.parametrize(
    ("fault", "requests"), [("500", MAX_RETRIES + 1), ("truncated", READ_ATTEMPTS)], ids=["no answer", "broken answer"]
)
def test_read_that_always_fails_is_retried_in_only_one_layer(bucket: S3Store, fault: str, requests: int) -> None:
    bucket.put("k", BODY)
    place = urlsplit(bucket.settings.endpoint_url or "")
    affected: list[str] = []

    def inject(exchange: Exchange) -> None:
        affected.append(exchange.request.first_line)
        FAULTS[fault].inject(exchange)

    with S3Proxy((place.hostname or "", place.port or 0), target="GET k", inject=inject) as proxy:
        with pytest.raises(StoreUnavailableError):
            behind_proxy(bucket, proxy).read("k")
    assert len(affected) == requests


@pytest.mark.parametrize("part", [0.2, 0.4, 0.5, 0.6, 0.8])
def test_truncated_headers_are_requested_again(bucket: S3Store, part: float) -> None:
    bucket.put("k", BODY)
    place = urlsplit(bucket.settings.endpoint_url or "")

    def cut(exchange: Exchange) -> None:
        headers = exchange.forward().to_bytes()
        exchange.client.sendall(headers[: round(len(headers) * part)])
        exchange.hang_up()

    for ask in (S3Store.size, S3Store.age):
        with S3Proxy((place.hostname or "", place.port or 0), target="HEAD k #1", inject=cut) as proxy:
            expected = ask(bucket, "k")
            answer = ask(behind_proxy(bucket, proxy), "k")
            assert proxy.met.is_set()
        assert answer == expected if isinstance(expected, int) else answer is not None


def test_size_truncated_in_the_last_header_is_requested_again(bucket: S3Store) -> None:
    bucket.put("k", BODY)
    place = urlsplit(bucket.settings.endpoint_url or "")

    def cut(exchange: Exchange) -> None:
        answer = exchange.forward()
        others = tuple((name, value) for name, value in answer.headers if name.lower() != "content-length")
        head = Message(answer.first_line, others, b"").to_bytes().removesuffix(b"\r\n")
        exchange.client.sendall(head + f"Content-Length: {len(BODY) // 10}".encode())
        exchange.hang_up()

    with S3Proxy((place.hostname or "", place.port or 0), target="HEAD k #1", inject=cut) as proxy:
        far = behind_proxy(bucket, proxy)
        assert far.has_size("k", len(BODY))
        assert proxy.met.is_set()
        assert not far.has_size("k", len(BODY) // 10)


def test_headers_without_a_date_are_accepted_if_no_response_has_one(bucket: S3Store) -> None:
    bucket.put("k", BODY)
    place = urlsplit(bucket.settings.endpoint_url or "")

    def without_date(exchange: Exchange) -> None:
        answer = exchange.forward()
        others = tuple((name, value) for name, value in answer.headers if name.lower() != "date")
        exchange.answer(Message(answer.first_line, others, b""))

    with S3Proxy((place.hostname or "", place.port or 0), target="HEAD k", inject=without_date) as proxy:
        assert behind_proxy(bucket, proxy).size("k") == len(BODY)


def test_headers_that_are_always_truncated_make_the_store_unavailable(bucket: S3Store) -> None:
    bucket.put("k", BODY)
    place = urlsplit(bucket.settings.endpoint_url or "")

    def without_length(exchange: Exchange) -> None:
        answer = exchange.forward()
        lost = ("content-length", "date")
        exchange.client.sendall(
            Message(
                answer.first_line, tuple(pair for pair in answer.headers if pair[0].lower() not in lost), b""
            ).to_bytes()
        )
        exchange.hang_up()

    with S3Proxy((place.hostname or "", place.port or 0), target="HEAD k", inject=without_length) as proxy:
        with pytest.raises(StoreUnavailableError, match="were truncated"):
            behind_proxy(bucket, proxy).size("k")
