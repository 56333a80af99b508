"""If an upload is damaged in transit, the store detects the damage, and the upload is repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from quire.errors import StoreUnavailableError
from quire.object_store.s3_store import S3Store
from quire.object_store.s3_upload import PART_BYTES

from tests.faults.fault_types import flipped
from tests.faults.s3_proxy import Exchange, S3Proxy

pytestmark = pytest.mark.server

BODY = b"0123456789abcdef" * 100


def flip_upload(exchange: Exchange) -> None:
    exchange.answer(exchange.forward(flipped(exchange.request.body, "seed")))


def upload(store: S3Store, body: bytes) -> None:
    with store.open_upload("k") as sink:
        sink.write(body)


@pytest.mark.parametrize(
    ("write", "body", "name"),
    [
        (lambda store, body: store.put("k", body), BODY, "PUT k #1"),
        (upload, BODY, "PUT k #1"),
        (upload, b"x" * (PART_BYTES + 1), "PUT k partNumber=1 #1"),
    ],
    ids=["put", "small upload", "part"],
)
def test_upload_damaged_in_transit_is_repeated(
    bucket: S3Store, write: Callable[[S3Store, bytes], None], body: bytes, name: str
) -> None:
    place = urlsplit(bucket.settings.endpoint_url or "")
    with S3Proxy((place.hostname or "", place.port or 0), target=name, inject=flip_upload) as proxy:
        proxied = S3Store(replace(bucket.settings, endpoint_url=f"http://127.0.0.1:{proxy.port}"))
        write(proxied, body)
        assert proxy.met.is_set()
    assert bucket.read("k") == body


def test_upload_that_is_always_damaged_is_a_transient_error(bucket: S3Store) -> None:
    place = urlsplit(bucket.settings.endpoint_url or "")
    with S3Proxy((place.hostname or "", place.port or 0), target="PUT k", inject=flip_upload) as proxy:
        proxied = S3Store(replace(bucket.settings, endpoint_url=f"http://127.0.0.1:{proxy.port}"))
        with pytest.raises(StoreUnavailableError, match="could not process the request for k: BadDigest"):
            proxied.put("k", BODY)
    assert bucket.size("k") is None
