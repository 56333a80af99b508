"""Reads the body or the headers of an answer, and asks again where they break off."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quire.errors import IntegrityError, StoreUnavailableError
from quire.object_store.error_translation import translated

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

READ_ATTEMPTS = 3
MAX_RECORD_BYTES = 32 * 1024 * 1024  # of a record: a manifest of 20,000 partitions and files has some 12 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """An object's bytes, and the ETag that the store gave with them."""

    data: bytes
    etag: str


def read_body(ask: Callable[[], GetObjectOutputTypeDef], key: str, *, max_bytes: int) -> Body:
    """Returns the body of an answer, up to ``READ_ATTEMPTS`` times asked for.

    boto3 repeats a request until the headers of an answer arrive, and never after that. A request that fails before
    them has had all its attempts, so it is not repeated here.

    Args:
        ask: sends the request.
        key: of the object, for errors.
        max_bytes: how large the body may be. Of a larger one nothing is read, or one byte too many where the answer
            does not say how long it is. A length that is larger is asked for again, since the connection may have
            damaged it.

    Raises:
        IntegrityError: the body is larger.
        StoreUnavailableError: the request failed, or every body broke off.
    """
    for attempt in range(1, READ_ATTEMPTS + 1):
        with translated(key):
            answer = ask()
        if answer.get("ContentLength", 0) > max_bytes and attempt < READ_ATTEMPTS:
            answer["Body"].close()
            continue
        try:
            with translated(key):
                return Body(data=_read_bounded(answer, key, max_bytes), etag=answer.get("ETag", ""))
        except StoreUnavailableError:
            if attempt == READ_ATTEMPTS:
                raise
    raise AssertionError  # the last attempt returns or raises


def _read_bounded(answer: GetObjectOutputTypeDef, key: str, max_bytes: int) -> bytes:
    """Returns the bytes of a body; closes the connection of one that is too large."""
    size = answer.get("ContentLength")
    if size is None:  # a store may send an answer in chunks, without its length
        data = answer["Body"].read(max_bytes + 1)
        if len(data) <= max_bytes:
            return data
    elif size <= max_bytes:
        return answer["Body"].read()
    answer["Body"].close()
    much = f"over {max_bytes}" if size is None else f"{size}"
    raise IntegrityError(f"{key} has {much} bytes, more than the {max_bytes} that it may have: delete it")


def read_headers(ask: Callable[[], HeadObjectOutputTypeDef], key: str) -> HeadObjectOutputTypeDef:
    """Returns what the headers of an object say, up to ``READ_ATTEMPTS`` times asked for.

    Python's HTTP client takes headers that end early for complete ones. What was cut off is noticed here: a header is
    missing, or its value cannot be read.

    Args:
        ask: sends the request.
        key: of the object, for errors.

    Raises:
        NoSuchKeyError: the object does not exist.
        StoreUnavailableError: the request failed, or every answer broke off.
    """
    undated = None
    for _ in range(READ_ATTEMPTS):
        with translated(key), suppress(ValueError):  # botocore's, of a date that was cut
            answer = ask()
            if not answer.keys() >= {"ContentLength", "LastModified"}:
                continue
            if "date" in answer["ResponseMetadata"]["HTTPHeaders"]:
                return answer
            undated = answer
    if undated is not None:  # of a store that dates no answer
        return undated
    raise StoreUnavailableError(f"the object store's answers for {key} broke off")
