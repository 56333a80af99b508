"""A store that refuses connections for a moment is waited for."""

from __future__ import annotations

import random
from dataclasses import replace
from urllib.parse import urlsplit

from quire.object_store import ObjectStore

from tests.faults.s3_proxy import Exchange, S3Proxy

SECONDS_REFUSED = 0.8


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
