"""An object store in an S3 bucket, accessed through boto3."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from quire.errors import DamagedObjectError, IntegrityError, StoreUnavailableError
from quire.object_store.s3_body_checksums import add_checksums
from quire.object_store.s3_deletion import delete_objects, delete_unchanged
from quire.object_store.s3_errors import ConflictError, ExistsError, translate_s3_errors
from quire.object_store.s3_responses import read_body, read_headers
from quire.object_store.s3_session import new_session
from quire.object_store.s3_upload import S3Upload
from quire.object_store.store import (
    BINARY,
    MAX_RECORD_BYTES,
    STREAM_BYTES,
    NoSuchKeyError,
    Store,
    StoredObject,
    attachment,
)
from quire.settings import MAX_LINK_LIFETIME, StoreSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef, ResponseMetadataTypeDef

CONFLICT_ATTEMPTS = 5
MAX_RETRIES = 7  # boto3 waits up to 50 ms before the first retry, then doubles the limit: about 3 s in total


def _response_time(response: ResponseMetadataTypeDef) -> datetime:
    """Returns the time at which the store sent a response, by the store's clock, to the second."""
    date = response["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)


class S3Store(Store):
    """A store in a bucket with multipart uploads, conditional writes (``If-None-Match: *``) and presigned URLs.

    Args:
        settings: the bucket, the endpoint and the credentials.
        session: the boto3 session; if None, a session is created from the credentials in ``settings``.
    """

    connect_seconds, read_seconds, max_retries = 5, 60, MAX_RETRIES  # client settings

    def __init__(self, settings: StoreSettings, *, session: boto3.session.Session | None = None) -> None:
        self.settings, self._given_session = settings, session

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.settings.bucket

    @property
    def location(self) -> str:
        """The bucket's name and, for stores other than AWS, the endpoint."""
        endpoint = self.settings.endpoint_url
        return f"bucket {self.bucket} at {endpoint}" if endpoint else f"bucket {self.bucket}"

    @cached_property
    def client(self) -> S3Client:
        """The boto3 client for the endpoint that this process connects to."""
        return self._connect(self.settings.endpoint_url)

    @cached_property
    def _public_client(self) -> S3Client:
        public = self.settings.public_endpoint_url
        return self._connect(public) if public else self.client

    @cached_property
    def _session(self) -> boto3.session.Session:
        return self._given_session or new_session(self.settings)

    def _connect(self, endpoint_url: str | None) -> S3Client:
        config = Config(
            signature_version="s3v4",
            retries={"mode": "standard", "max_attempts": self.max_retries},
            connect_timeout=self.connect_seconds,
            read_timeout=self.read_seconds,
            max_pool_connections=16,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if endpoint_url else "auto"},
        )
        with translate_s3_errors(f"the store {endpoint_url or ''}"):
            client = self._session.client("s3", endpoint_url=endpoint_url, config=config)
        add_checksums(client)
        return client

    def check(self) -> None:
        """Checks that the bucket exists and is accessible."""
        with translate_s3_errors(f"bucket {self.bucket}"):
            self.client.head_bucket(Bucket=self.bucket)

    def now(self) -> datetime:
        """Returns the current time by the store's clock."""
        with translate_s3_errors(f"bucket {self.bucket}"):
            return _response_time(self.client.head_bucket(Bucket=self.bucket)["ResponseMetadata"])

    def read(self, key: str, *, max_bytes: int = MAX_RECORD_BYTES) -> bytes | None:
        """Returns a small object's bytes, or None if the object does not exist."""
        try:
            return read_body(partial(self._get, key), key, max_bytes=max_bytes).data
        except NoSuchKeyError:
            return None

    def _get(self, key: str) -> GetObjectOutputTypeDef:
        return self.client.get_object(Bucket=self.bucket, Key=key)

    def read_range(self, key: str, start: int, size: int) -> bytes:
        """Returns ``size`` bytes from offset ``start``."""
        request: Any = {"Bucket": self.bucket, "Key": key, "Range": f"bytes={start}-{start + size - 1}"}
        try:
            data = read_body(lambda: self.client.get_object(**request), key, max_bytes=size).data
        except NoSuchKeyError:
            raise
        except IntegrityError as error:
            raise DamagedObjectError(f"{key}: the object store returned more bytes than were requested") from error
        if len(data) != size:
            raise DamagedObjectError(f"{key} is {size - len(data)} bytes too short: run the report again")
        return data

    def stream(self, key: str) -> Generator[bytes]:
        """Yields an object's bytes in chunks."""
        with translate_s3_errors(key), closing(self.client.get_object(Bucket=self.bucket, Key=key)["Body"]) as body:
            yield from body.iter_chunks(STREAM_BYTES)

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes, or None if the object does not exist."""
        headers = self._headers(key)
        return None if headers is None else headers["ContentLength"]

    def age(self, key: str) -> timedelta | None:
        """Returns the time since an object was written, or None if the object does not exist."""
        headers = self._headers(key)
        return None if headers is None else _response_time(headers["ResponseMetadata"]) - headers["LastModified"]

    def _headers(self, key: str) -> HeadObjectOutputTypeDef | None:
        try:
            return read_headers(partial(self.client.head_object, Bucket=self.bucket, Key=key), key)
        except NoSuchKeyError:
            return None

    def put(self, key: str, body: bytes, *, content_type: str = BINARY) -> None:
        """Writes a small object, replacing any existing object."""
        with translate_s3_errors(key):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def put_once(self, key: str, body: bytes, *, content_type: str = BINARY) -> bool:
        """Writes a small object unless it already exists. Returns whether the stored bytes equal ``body``."""
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                with translate_s3_errors(key):
                    self.client.put_object(
                        Bucket=self.bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*"
                    )
                return True
            except ExistsError:
                return self.read(key) == body
            except ConflictError:  # another write is in progress; AWS recommends a retry
                time.sleep(0.1 * 2**attempt)
        raise StoreUnavailableError(f"other processes keep writing {key}: try again")

    def open_upload(self, key: str, *, content_type: str = BINARY) -> S3Upload:
        """Returns a context manager that uploads a large object in parts."""
        return S3Upload(self.client, self.bucket, key, content_type=content_type)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields every object whose key starts with ``prefix``, in key order."""
        with translate_s3_errors(prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield StoredObject(key=entry["Key"], bytes=entry["Size"], modified=entry["LastModified"])

    def folders(self, prefix: str) -> Iterator[str]:
        """Yields the folders directly under ``prefix``, each with a trailing slash."""
        pages = self.client.get_paginator("list_objects_v2")
        with translate_s3_errors(prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/"):
                yield from (entry["Prefix"] for entry in page.get("CommonPrefixes", ()))

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes objects in any order and ignores keys that do not exist."""
        delete_objects(self.client, self.bucket, keys)

    def delete_unchanged(self, key: str, body: bytes) -> bool:
        """Deletes a small object if its bytes still equal ``body``. Returns whether the object was deleted."""
        return delete_unchanged(self.client, self.bucket, key, body=body)

    def abort_uploads(self, prefix: str, *, before: datetime) -> int:
        """Aborts unfinished multipart uploads that started before a given time. Returns how many were aborted."""
        pages = self.client.get_paginator("list_multipart_uploads")
        aborted = 0
        with translate_s3_errors(prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < before:
                        self.client.abort_multipart_upload(
                            Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        aborted += 1
        return aborted

    def presign(self, key: str, *, seconds: int, filename: str) -> str:
        """Returns a URL that downloads an object as ``filename``. The URL expires after ``seconds``, at most 7 days.

        The URL is signed for the host that readers use. If the credentials that sign it expire earlier, so does the
        URL.
        """
        with translate_s3_errors(key):
            return self._public_client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self.bucket,
                    "Key": key,
                    "ResponseContentDisposition": attachment(filename),
                },
                ExpiresIn=min(seconds, int(MAX_LINK_LIFETIME.total_seconds())),
            )
