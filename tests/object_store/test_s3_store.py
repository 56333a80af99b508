"""Tests the S3 store: uploads are complete or absent, links expire, and errors are translated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError
from quire.errors import StoreRefusedError, StoreUnavailableError
from quire.object_store.s3_errors import translate_s3_errors
from quire.object_store.s3_store import S3Store
from quire.object_store.s3_upload import PART_BYTES

from tests.polling import wait_until
from tests.relay import FAR, Relay


def uploads(store: S3Store) -> list[str]:
    """Returns the unfinished multipart uploads."""
    entries = store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])
    return [upload["Key"] for upload in entries]


def test_link_downloads_with_its_file_name_until_it_expires(bucket: S3Store) -> None:
    bucket.put("k", b"body")
    link = bucket.presign("k", seconds=2, filename="März 1.xlsx")
    answer = httpx.get(link)
    assert (answer.status_code, answer.content) == (200, b"body")
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"M_rz 1.xlsx\"; filename*=UTF-8''M%C3%A4rz%201.xlsx"
    )
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link
    wait_until(lambda: httpx.get(link).status_code == 403)


def test_link_for_another_key_or_a_longer_time_is_rejected(bucket: S3Store) -> None:
    bucket.put("k", b"body")
    bucket.put("l", b"other")
    link = bucket.presign("k", seconds=60, filename="k")
    assert httpx.get(link.replace("/k?", "/l?")).status_code == 403
    assert httpx.get(link.replace("X-Amz-Expires=60", "X-Amz-Expires=600")).status_code == 403
    assert "X-Amz-Expires=604800" in bucket.presign("k", seconds=10**9, filename="k")


def test_link_is_signed_for_the_host_that_readers_use(bucket: S3Store) -> None:
    public = S3Store(replace(bucket.settings, public_endpoint_url="https://files.example.org"))
    assert public.presign("k", seconds=60, filename="k").startswith("https://files.example.org/")


def test_store_without_credentials_is_rejected_in_one_line(
    bucket: S3Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    nobody = S3Store(replace(bucket.settings, access_key=None, secret_key=None))
    with pytest.raises(StoreRefusedError, match="Unable to locate credentials"):
        nobody.check()


def test_unavailable_store_is_a_transient_error(bucket: S3Store) -> None:
    unavailable = S3Store(replace(bucket.settings, endpoint_url="http://127.0.0.1:9"))
    with pytest.raises(StoreUnavailableError, match="did not respond"):
        unavailable.check()


def test_missing_bucket_is_rejected(bucket: S3Store) -> None:
    with pytest.raises(StoreRefusedError, match="the bucket does not exist"):
        S3Store(replace(bucket.settings, bucket="there-is-none")).check()


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("TooManyRequests", 429, StoreUnavailableError),
        ("RequestLimitExceeded", 400, StoreUnavailableError),
        ("ExpiredToken", 400, StoreUnavailableError),
        ("InternalError", 500, StoreUnavailableError),
        ("NoSuchUpload", 404, StoreUnavailableError),
        ("RequestTimeTooSkewed", 403, StoreUnavailableError),
        ("AccessDenied", 403, StoreRefusedError),
        ("NoSuchBucket", 404, StoreRefusedError),
        ("InvalidArgument", 400, StoreRefusedError),
        ("NoSuchKex", 404, StoreUnavailableError),  # damaged in transit
        ("400", 400, StoreUnavailableError),
    ],
)
def test_only_refusals_are_terminal(code: str, status: int, kind: type[Exception]) -> None:
    """Simulates responses that the test server never sends."""
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    what = "bucket b" if code == "NoSuchBucket" else "a/b"
    with pytest.raises(kind, match=what), translate_s3_errors(what):
        raise ClientError(answer, "GetObject")  # type: ignore[arg-type]


def test_request_whose_error_was_damaged_in_transit_is_repeated(bucket: S3Store) -> None:
    bucket.put("a", b"x")
    damaged = [ClientError({"Error": {"Code": "NoSuchKuy"}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "GetObject")]  # type: ignore[typeddict-item]

    def damage(**_: Any) -> None:
        if damaged:
            raise damaged.pop()

    bucket.client.meta.events.register("after-call.s3.GetObject", damage)
    assert bucket.read("a") == b"x"
    assert damaged == []


def test_temporarily_unavailable_credentials_are_transient() -> None:
    with pytest.raises(StoreUnavailableError, match="no credentials are available for a"), translate_s3_errors("a"):
        raise CredentialRetrievalError(provider="iam-role", error_msg="busy")


def refuse(store: S3Store, operation: str) -> None:
    """Makes every call to an operation fail before it is sent."""

    def fail(**_: Any) -> None:
        raise StoreUnavailableError(f"no {operation}")

    store.client.meta.events.register(f"before-call.s3.{operation}", fail)


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_upload_with_a_rejected_part_or_completion_leaves_nothing(bucket: S3Store, operation: str) -> None:
    refuse(bucket, operation)
    with pytest.raises(StoreUnavailableError, match=f"no {operation}"), bucket.open_upload("broken") as upload:
        upload.write(b"x" * (PART_BYTES + 1))
    assert uploads(bucket) == []
    assert bucket.size("broken") is None


def test_upload_with_a_lost_last_response_is_complete(bucket: S3Store) -> None:
    """boto3 retries the request, and the store responds that the upload does not exist."""

    def lose(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "NoSuchUpload"}}, "CompleteMultipartUpload")

    bucket.client.meta.events.register("after-call.s3.CompleteMultipartUpload", lose)
    with bucket.open_upload("complete") as upload:
        upload.write(b"x" * (PART_BYTES + 1))
    assert bucket.size("complete") == PART_BYTES + 1


def test_range_with_a_truncated_response_is_read_again(bucket: S3Store) -> None:
    body = bytes(range(256)) * 32_768
    bucket.put("long", body)
    place = urlsplit(bucket.settings.endpoint_url or "")
    relay = Relay((place.hostname or "", place.port or 0), first_ends_after=1_000_000)
    try:
        far = S3Store(replace(bucket.settings, endpoint_url=f"http://{FAR}:{relay.port}"))
        assert far.read_range("long", 0, len(body)) == body
        assert relay.connections == 2
    finally:
        relay.close()


def test_upload_that_cannot_be_aborted_raises_the_first_error(bucket: S3Store) -> None:
    refuse(bucket, "UploadPart")
    refuse(bucket, "AbortMultipartUpload")
    with pytest.raises(StoreUnavailableError, match="no UploadPart"), bucket.open_upload("broken") as upload:
        upload.write(b"x" * PART_BYTES)


@pytest.mark.parametrize("size", [1, PART_BYTES + 1])
def test_upload_of_any_size_keeps_its_content_type(bucket: S3Store, size: int) -> None:
    with bucket.open_upload("a.csv", content_type="text/csv") as upload:
        upload.write(b"x" * size)
    assert bucket.client.head_object(Bucket=bucket.bucket, Key="a.csv")["ContentType"] == "text/csv"
