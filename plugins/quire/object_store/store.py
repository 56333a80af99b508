"""One bucket, through boto3."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
from botocore.config import Config

from quire.errors import DamagedObjectError, IntegrityError, StoreUnavailableError
from quire.object_store.body import MAX_RECORD_BYTES, READ_ATTEMPTS, read_body, read_headers
from quire.object_store.deletion import delete_objects, delete_unchanged
from quire.object_store.error_translation import ConflictError, ExistsError, NoSuchKeyError, translated
from quire.object_store.reader import RangeReader, VerifiedRanges
from quire.object_store.upload import Upload
from quire.object_store.upload_checksums import add_checksums
from quire.settings import StoreSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef, ResponseMetadataTypeDef

MAX_LINK_LIFETIME = timedelta(days=7)  # SigV4's own limit; other signatures and servers would accept any
CONFLICT_ATTEMPTS = 5
MAX_RETRIES = 7  # boto3 waits at most 50 ms before the first and twice as long before each next: 3 s in all on average
STREAM_BYTES = 1024 * 1024
CONTENT_TYPES = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One entry of a listing."""

    key: str
    bytes: int
    modified: datetime


def attachment(filename: str) -> str:
    """Returns the Content-Disposition of a download: the name in ASCII for old clients, and as it is (RFC 6266)."""
    plain = "".join(letter if letter.isascii() and letter.isprintable() else "_" for letter in filename)
    plain = plain.replace("\\", "_").replace('"', "_").replace("%", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _answered_at(answer: ResponseMetadataTypeDef) -> datetime:
    """Returns when the store gave an answer, to the second; HTTP asks for it in every one."""
    date = answer["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)


class ObjectStore:
    """One bucket. Every method raises StoreRefusedError or StoreUnavailableError when the store does not do it.

    Safe to use from several threads.
    """

    connect_seconds, read_seconds, max_retries = 5, 60, MAX_RETRIES  # of its client

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.settings.bucket

    @cached_property
    def client(self) -> S3Client:
        """The boto3 client for the endpoint that this process reaches."""
        return self._connect(self.settings.endpoint_url)

    @cached_property
    def _public_client(self) -> S3Client:
        public = self.settings.public_endpoint_url
        return self._connect(public) if public else self.client

    @cached_property
    def _session(self) -> boto3.session.Session:
        settings = self.settings
        region = settings.region_name or boto3.session.Session().region_name
        return boto3.session.Session(
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            aws_session_token=settings.session_token,
            # signatures need a region; servers other than AWS take any
            region_name=region or ("us-east-1" if settings.endpoint_url else None),
        )

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
        with translated(f"the store {endpoint_url or ''}"):
            client = self._session.client("s3", endpoint_url=endpoint_url, config=config)
        add_checksums(client)
        return client

    def check(self) -> None:
        """Raises where the bucket does not exist, or may not be used."""
        with translated(f"bucket {self.bucket}"):
            self.client.head_bucket(Bucket=self.bucket)

    def read(self, key: str, *, max_bytes: int = MAX_RECORD_BYTES) -> bytes | None:
        """Returns a small object's bytes, or None where there is none; IntegrityError if it has over ``max_bytes``."""
        try:
            return read_body(partial(self._get, key), key, max_bytes=max_bytes).data
        except NoSuchKeyError:
            return None

    def _get(self, key: str) -> GetObjectOutputTypeDef:
        return self.client.get_object(Bucket=self.bucket, Key=key)

    def read_verified(self, key: str, *, sha256: str, size: int) -> bytes:
        """Returns the bytes of an object that had ``size``; reads them again where they do not have this SHA-256.

        Raises:
            DamagedObjectError: the object is missing or larger, or never has.
        """
        for _ in range(READ_ATTEMPTS):
            try:
                body = self.read(key, max_bytes=size)
            except IntegrityError:  # larger, or a header of the answer was damaged
                continue
            if body is None:
                raise NoSuchKeyError(f"{key} is not in the store: it was deleted, or never written")
            if hashlib.sha256(body).hexdigest() == sha256:
                return body
        raise DamagedObjectError(f"{key} has other bytes than were stored")

    def read_range(self, key: str, start: int, size: int) -> bytes:
        """Returns ``size`` bytes from ``start``.

        Raises:
            DamagedObjectError: there is no such object, or it is shorter.
        """
        where: Any = {"Bucket": self.bucket, "Key": key, "Range": f"bytes={start}-{start + size - 1}"}
        try:
            data = read_body(lambda: self.client.get_object(**where), key, max_bytes=size).data
        except NoSuchKeyError:
            raise
        except IntegrityError as error:
            raise DamagedObjectError(f"{key}: the object store returns more bytes than were requested") from error
        if len(data) != size:
            raise DamagedObjectError(f"{key} ends {size - len(data)} bytes too early: run it again")
        return data

    def stream(self, key: str) -> Generator[bytes]:
        """Gives an object's bytes, a piece at a time.

        Raises:
            IntegrityError: there is no such object.
        """
        with translated(key), closing(self.client.get_object(Bucket=self.bucket, Key=key)["Body"]) as body:
            yield from body.iter_chunks(STREAM_BYTES)

    def read_json(self, key: str) -> Any | None:
        """Returns a JSON object's value, or None where there is no such object."""
        found = self.read(key)
        try:
            return None if found is None else json.loads(found)
        except ValueError as error:
            raise IntegrityError(f"{key} is not JSON: delete it and run again") from error

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes, or None where there is no such object."""
        headers = self._headers(key)
        return None if headers is None else headers["ContentLength"]

    def has_size(self, key: str, size: int) -> bool:
        """Whether there is an object of a size; asks twice before it says no: an answer may be cut in a number."""
        return self.size(key) == size or self.size(key) == size

    def age(self, key: str) -> timedelta | None:
        """Returns how long ago an object was written, by the store's own clock; None where there is none."""
        headers = self._headers(key)
        return None if headers is None else _answered_at(headers["ResponseMetadata"]) - headers["LastModified"]

    def _headers(self, key: str) -> HeadObjectOutputTypeDef | None:
        try:
            return read_headers(partial(self.client.head_object, Bucket=self.bucket, Key=key), key)
        except NoSuchKeyError:
            return None

    def now(self) -> datetime:
        """Returns the time by the store's own clock, which objects are dated by."""
        with translated(f"bucket {self.bucket}"):
            return _answered_at(self.client.head_bucket(Bucket=self.bucket)["ResponseMetadata"])

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Writes a small object under a name that nobody else writes."""
        with translated(key):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def put_json_once(self, key: str, value: Any) -> bool:
        """Writes JSON unless the object exists; of several writers at once, one gets True, the others False.

        Our own attempt may have arrived although its answer was lost, so a refused write is compared first.
        """
        body = json.dumps(value, ensure_ascii=False, indent=1).encode()
        if len(body) > MAX_RECORD_BYTES:
            raise IntegrityError(f"{key} would have {len(body)} bytes, more than a record may: run a shorter range")
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                with translated(key):
                    self.client.put_object(
                        Bucket=self.bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*"
                    )
                return True
            except ExistsError:
                return self.read(key) == body
            except ConflictError:  # another writer is at it this moment: AWS asks to try again
                time.sleep(0.1 * 2**attempt)
        raise StoreUnavailableError(f"{key} is being written by others without end: try again")

    def open_upload(self, key: str, *, content_type: str = "application/octet-stream") -> Upload:
        """Returns a context manager to write a large object through, part by part."""
        return Upload(self.client, self.bucket, key, content_type=content_type)

    def open_object(self, key: str, size: int) -> RangeReader:
        """Returns a seekable file over an object of ``size`` bytes, read by ranges."""
        return RangeReader(partial(self.read_range, key), size)

    def open_verified(self, key: str, size: int, checksums: str) -> RangeReader:
        """Returns the same, which verifies what it reads against the checksums of the object's blocks."""
        ranges = VerifiedRanges(key, partial(self.read_range, key), size=size, checksums=checksums)
        return RangeReader(ranges, size)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Gives every object whose key begins with ``prefix``, by key."""
        with translated(prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield StoredObject(key=entry["Key"], bytes=entry["Size"], modified=entry["LastModified"])

    def folders(self, prefix: str) -> Iterator[str]:
        """Gives the folders right below ``prefix``, each ending in a slash."""
        pages = self.client.get_paginator("list_objects_v2")
        with translated(prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/"):
                yield from (entry["Prefix"] for entry in page.get("CommonPrefixes", ()))

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes objects, in no particular order; those that do not exist are no error."""
        delete_objects(self.client, self.bucket, keys)

    def delete_unchanged(self, key: str, body: bytes) -> bool:
        """Deletes a small object unless it has other bytes by now; returns whether it did."""
        return delete_unchanged(self.client, self.bucket, key, body)

    def abort_uploads(self, prefix: str, *, before: datetime) -> int:
        """Aborts uploads that were begun before an instant and never ended; returns how many."""
        pages = self.client.get_paginator("list_multipart_uploads")
        aborted = 0
        with translated(prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < before:
                        self.client.abort_multipart_upload(
                            Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        aborted += 1
        return aborted

    def presign(self, key: str, *, seconds: int, filename: str) -> str:
        """Returns a link that downloads an object as ``filename`` for ``seconds``, at most 7 days.

        Signed for the host that readers use. It dies earlier with the credentials that signed it.
        """
        with translated(key):
            return self._public_client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self.bucket,
                    "Key": key,
                    "ResponseContentDisposition": attachment(filename),
                },
                ExpiresIn=min(seconds, int(MAX_LINK_LIFETIME.total_seconds())),
            )
