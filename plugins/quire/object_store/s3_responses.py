"""Reads S3 response bodies and headers. Repeats requests whose responses were truncated or damaged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quire.errors import StoreUnavailableError
from quire.object_store.range_reader import READ_ATTEMPTS
from quire.object_store.s3_errors import UnknownResponseError, translate_s3_errors
from quire.object_store.store import too_large

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """An object's bytes and ETag."""

    data: bytes
    etag: str


def read_body(request: Callable[[], GetObjectOutputTypeDef], key: str, *, max_bytes: int) -> Body:
    """Returns a response's complete body. Sends the request up to ``READ_ATTEMPTS`` times.

    boto3 retries a request only if it fails before the response headers arrive. If boto3 has used all of its attempts,
    this function does not send the request again, unless the store responded with an unknown error code.

    Args:
        request: sends the request.
        key: the object's key, for error messages.
        max_bytes: the maximum body size. If the declared length is larger, the request is repeated, because the header
            may have been corrupted in transit. If no length is declared, at most ``max_bytes`` + 1 bytes are read.

    Raises:
        IntegrityError: the body is larger than ``max_bytes``.
        StoreUnavailableError: the request failed, or every response was truncated.
    """
    for attempt in range(1, READ_ATTEMPTS + 1):
        try:
            with translate_s3_errors(key):
                response = request()
        except UnknownResponseError:
            if attempt == READ_ATTEMPTS:
                raise
            continue
        if response.get("ContentLength", 0) > max_bytes and attempt < READ_ATTEMPTS:
            response["Body"].close()
            continue
        try:
            with translate_s3_errors(key):
                return Body(data=_read_bounded(response, key, max_bytes), etag=response.get("ETag", ""))
        except StoreUnavailableError:
            if attempt == READ_ATTEMPTS:
                raise
    raise AssertionError  # the last attempt returns or raises


def _read_bounded(response: GetObjectOutputTypeDef, key: str, max_bytes: int) -> bytes:
    """Returns a response body's bytes. If the body is too large, closes the connection and raises an IntegrityError."""
    size = response.get("ContentLength")
    if size is None:  # chunked transfer encoding
        data = response["Body"].read(max_bytes + 1)
        if len(data) <= max_bytes:
            return data
    elif size <= max_bytes:
        return response["Body"].read()
    response["Body"].close()
    raise too_large(key, max_bytes, size=size)


def read_headers(request: Callable[[], HeadObjectOutputTypeDef], key: str) -> HeadObjectOutputTypeDef:
    """Returns an object's complete headers. Sends the request up to ``READ_ATTEMPTS`` times.

    Python's HTTP client accepts truncated headers. This function considers the headers truncated if a required header
    is missing or its value cannot be parsed.

    Args:
        request: sends the request.
        key: the object's key, for error messages.

    Raises:
        NoSuchKeyError: the object does not exist.
        StoreUnavailableError: the request failed, or every response was truncated.
    """
    undated = None
    for _ in range(READ_ATTEMPTS):
        with translate_s3_errors(key), suppress(ValueError):  # raised by botocore for a truncated date
            response = request()
            if not response.keys() >= {"ContentLength", "LastModified"}:
                continue
            if "date" in response["ResponseMetadata"]["HTTPHeaders"]:
                return response
            undated = response
    if undated is not None:  # some stores send no Date header
        return undated
    raise StoreUnavailableError(f"all responses from the object store for {key} were truncated")
