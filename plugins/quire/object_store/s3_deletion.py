"""Deletes objects in batches, or a single object if it is unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from quire.errors import IntegrityError
from quire.object_store.s3_errors import ExistsError, translate_s3_errors
from quire.object_store.s3_responses import read_body

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BATCH_KEYS = 1_000  # S3's limit
UNSUPPORTED = {"NotImplemented", "MethodNotAllowed"}  # from stores without DeleteObjects or conditional deletes


def delete_objects(client: S3Client, bucket: str, keys: Iterable[str]) -> None:
    """Deletes objects in batches of 1,000. Ignores keys that do not exist.

    If some keys in a batch are not deleted, deletes those keys one at a time. boto3 then retries transient errors and
    raises all other errors.
    """
    remaining = iter(keys)
    while batch := list(islice(remaining, BATCH_KEYS)):
        for key in _delete_batch(client, bucket, batch):
            with translate_s3_errors(key):
                client.delete_object(Bucket=bucket, Key=key)


def _delete_batch(client: S3Client, bucket: str, keys: Sequence[str]) -> Sequence[str]:
    """Returns the keys that were not deleted: all keys if the store does not support DeleteObjects."""
    if len(keys) == 1:
        return keys
    with translate_s3_errors(f"{keys[0]} and {len(keys) - 1} more objects"):
        try:
            response = client.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in UNSUPPORTED:
                return keys
            raise
    return [entry["Key"] for entry in response.get("Errors", ())]


def delete_unchanged(client: S3Client, bucket: str, key: str, *, body: bytes) -> bool:
    """Deletes an object if its bytes still equal ``body``. Returns whether the object was deleted.

    Because some stores ignore ``If-Match``, compares the bytes immediately before deleting. Does not read objects
    larger than ``body``.
    """
    try:
        current = read_body(partial(client.get_object, Bucket=bucket, Key=key), key, max_bytes=len(body))
        if current.data != body:
            return False
        with translate_s3_errors(key):
            _delete_matching(client, bucket, key, etag=current.etag)
    except (IntegrityError, ExistsError):  # another process has deleted or replaced the object
        return False
    return True


def _delete_matching(client: S3Client, bucket: str, key: str, *, etag: str) -> None:
    try:
        client.delete_object(Bucket=bucket, Key=key, IfMatch=etag)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in UNSUPPORTED:
            raise
        client.delete_object(Bucket=bucket, Key=key)
