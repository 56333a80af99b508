"""Each deletion request deletes up to a thousand keys; if the deletion of any key fails, an error is raised."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from quire.errors import StoreRefusedError
from quire.object_store.s3_store import S3Store

pytestmark = pytest.mark.server


def count_requests(store: S3Store) -> list[str]:
    """Returns a list to which each deletion request's operation is appended."""
    sent: list[str] = []
    for operation in ("DeleteObject", "DeleteObjects"):
        store.client.meta.events.register(
            f"before-send.s3.{operation}", lambda operation=operation, **_: sent.append(operation)
        )
    return sent


def fail_keys(store: S3Store, code: str, *names: str) -> None:
    """Makes responses to batch deletions report failures for some keys; the test server never reports any itself."""

    def add_errors(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Errors"] = [{"Key": name, "Code": code, "Message": ""} for name in names]

    store.client.meta.events.register("after-call.s3.DeleteObjects", add_errors)


def refuse_call(store: S3Store, operation: str, code: str) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": code}}, operation)

    store.client.meta.events.register(f"before-call.s3.{operation}", refuse)


def test_delete_of_many_keys_takes_a_request_per_thousand(bucket: S3Store) -> None:
    bucket.put("there", b"x")
    sent = count_requests(bucket)
    bucket.delete([*(f"never/{number}" for number in range(2_000)), "there"])
    assert sent == ["DeleteObjects", "DeleteObjects", "DeleteObject"]
    assert list(bucket.list("")) == []


def test_delete_with_a_failed_key_retries_it_individually(bucket: S3Store) -> None:
    for key in ("a", "b"):
        bucket.put(key, b"x")
    fail_keys(bucket, "InternalError", "b")
    sent = count_requests(bucket)
    bucket.delete(["a", "b"])
    assert sent == ["DeleteObjects", "DeleteObject"]
    assert list(bucket.list("")) == []


def test_delete_with_a_rejected_key_raises(bucket: S3Store) -> None:
    fail_keys(bucket, "AccessDenied", "b")
    refuse_call(bucket, "DeleteObject", "AccessDenied")
    with pytest.raises(StoreRefusedError, match="the object store denies access to b: AccessDenied"):
        bucket.delete(["a", "b"])


def test_delete_in_a_store_without_batches_deletes_each_key(bucket: S3Store) -> None:
    for key in ("a", "b"):
        bucket.put(key, b"x")
    refuse_call(bucket, "DeleteObjects", "NotImplemented")
    bucket.delete(["a", "b"])
    assert list(bucket.list("")) == []


def test_delete_in_a_store_that_rejects_the_batch_raises(bucket: S3Store) -> None:
    refuse_call(bucket, "DeleteObjects", "AccessDenied")
    with pytest.raises(StoreRefusedError, match="a and 1 more objects: AccessDenied"):
        bucket.delete(["a", "b"])
