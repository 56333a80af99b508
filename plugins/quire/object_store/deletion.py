"""Deletes objects by the thousand, or a single one on the condition that nobody has replaced it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from quire.errors import IntegrityError
from quire.object_store.body import read_body
from quire.object_store.error_translation import ExistsError, translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BATCH_KEYS = 1_000  # S3's own limit
UNSUPPORTED = {"NotImplemented", "MethodNotAllowed"}  # of stores without DeleteObjects, or without conditions


def delete_objects(client: S3Client, bucket: str, keys: Iterable[str]) -> None:
    """Deletes objects in batches of 1,000; ignores keys that do not exist.

    Keys that a batch could not delete are deleted one at a time, which retries what is transient and raises the rest.
    """
    remaining = iter(keys)
    while batch := list(islice(remaining, BATCH_KEYS)):
        for key in _delete_batch(client, bucket, batch):
            with translated(key):
                client.delete_object(Bucket=bucket, Key=key)


def _delete_batch(client: S3Client, bucket: str, keys: Sequence[str]) -> Sequence[str]:
    """Returns the keys that are left: all of them where the store has no DeleteObjects."""
    if len(keys) == 1:
        return keys
    with translated(f"{keys[0]} and {len(keys) - 1} more objects"):
        try:
            answer = client.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in UNSUPPORTED:
                return keys
            raise
    return [entry["Key"] for entry in answer.get("Errors", ())]


def delete_unchanged(client: S3Client, bucket: str, key: str, body: bytes) -> bool:
    """Deletes an object unless it has other bytes by now; returns whether it did.

    The bytes are compared immediately before, for stores that ignore or do not know the condition of a deletion.
    An object with more bytes than ``body`` is not read.
    """
    try:
        current = read_body(partial(client.get_object, Bucket=bucket, Key=key), key, max_bytes=len(body))
        if current.data != body:
            return False
        with translated(key):
            _delete_matching(client, bucket, key, current.etag)
    except (IntegrityError, ExistsError):  # somebody else deleted it, or replaced it, perhaps by something larger
        return False
    return True


def _delete_matching(client: S3Client, bucket: str, key: str, etag: str) -> None:
    try:
        client.delete_object(Bucket=bucket, Key=key, IfMatch=etag)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in UNSUPPORTED:
            raise
        client.delete_object(Bucket=bucket, Key=key)
