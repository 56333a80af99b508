"""The object store interface, with implementations for S3, a local folder and process memory."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol
from urllib.parse import quote

from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store.range_reader import READ_ATTEMPTS, RangeReader, VerifiedRanges
from quire.object_store.upload import Upload

MAX_RECORD_BYTES = 32 * 1024 * 1024  # a manifest with 20,000 partitions and files is about 12 MB long
STREAM_BYTES = 1024 * 1024
BINARY = "application/octet-stream"
CONTENT_TYPES = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


class NoSuchKeyError(DamagedObjectError):
    """The object does not exist."""

    @classmethod
    def of(cls, key: str) -> NoSuchKeyError:
        """Returns the error for a key."""
        return cls(f"{key} is not in the store: it was deleted or never written")


def too_large(key: str, max_bytes: int, *, size: int | None = None) -> IntegrityError:
    """Returns the error for an object that is too large for its reader; ``size`` is None if unknown."""
    actual = f"over {max_bytes}" if size is None else f"{size}"
    return IntegrityError(f"{key} has {actual} bytes, more than the limit of {max_bytes}: delete it")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An entry in a listing."""

    key: str
    bytes: int
    modified: datetime


class Store(Protocol):
    """Stores objects by key. Writes are atomic and optionally write-once; reads can request ranges.

    Keys are paths whose parts are separated by ``/``. Every method is thread-safe.

    Every method raises StoreRefusedError if the store denies the operation, and StoreUnavailableError if a retry may
    succeed.
    """

    @property
    @abstractmethod
    def location(self) -> str:
        """The store's name, for messages. Two stores with the same location hold the same objects."""

    @abstractmethod
    def check(self) -> None:
        """Checks that the store exists and is accessible.

        Raises:
            StoreRefusedError: the store does not exist or denies access.
        """

    @abstractmethod
    def now(self) -> datetime:
        """Returns the current time by the store's clock, which also timestamps its objects."""

    @abstractmethod
    def read(self, key: str, *, max_bytes: int = MAX_RECORD_BYTES) -> bytes | None:
        """Returns a small object's bytes, or None if the object does not exist.

        Raises:
            IntegrityError: the object is larger than ``max_bytes``.
        """

    @abstractmethod
    def read_range(self, key: str, start: int, size: int) -> bytes:
        """Returns ``size`` bytes from offset ``start``.

        Raises:
            DamagedObjectError: the object does not exist or ends before the range does.
        """

    @abstractmethod
    def stream(self, key: str) -> Generator[bytes]:
        """Yields an object's bytes in chunks of at most ``STREAM_BYTES``.

        Raises:
            NoSuchKeyError: the object does not exist.
        """

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes, or None if the object does not exist."""

    @abstractmethod
    def age(self, key: str) -> timedelta | None:
        """Returns an object's age by the store's clock, or None if the object does not exist."""

    @abstractmethod
    def put(self, key: str, body: bytes, *, content_type: str = BINARY) -> None:
        """Writes a small object, replacing any existing object."""

    @abstractmethod
    def put_once(self, key: str, body: bytes, *, content_type: str = BINARY) -> bool:
        """Writes a small object unless it already exists. Returns whether the stored bytes equal ``body``.

        If several processes concurrently write different bytes, exactly one of them gets True. A process also gets True
        if it finds its own bytes in the store, because the response to its first attempt may have been lost.
        """

    @abstractmethod
    def open_upload(self, key: str, *, content_type: str = BINARY) -> Upload:
        """Returns a context manager that writes an object of any size.

        The object becomes visible only if the context ends without an error.
        """

    @abstractmethod
    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields every object whose key starts with ``prefix``.

        Within a folder, objects are ordered by the UTF-8 bytes of their keys. Whether ``a/b`` comes before or after
        ``a-b`` depends on the server.
        """

    @abstractmethod
    def folders(self, prefix: str) -> Iterator[str]:
        """Yields the distinct folders directly under ``prefix``, each with a trailing slash.

        On some servers, a folder remains listed for a short time after its last object is deleted.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Deletes objects in any order and ignores keys that do not exist."""

    @abstractmethod
    def delete_unchanged(self, key: str, body: bytes) -> bool:
        """Deletes a small object if its bytes still equal ``body``. Returns whether the object was deleted."""

    @abstractmethod
    def abort_uploads(self, prefix: str, *, before: datetime) -> int:
        """Aborts unfinished uploads that started before a given time. Returns how many were aborted."""

    @abstractmethod
    def presign(self, key: str, *, seconds: int, filename: str) -> str:
        """Returns a link to an object.

        For S3, the link needs no further authentication, downloads the object as ``filename`` and expires after
        ``seconds``, at most 7 days. For a local folder, the link is a ``file:`` URL that never expires.
        """

    def read_verified(self, key: str, *, sha256: str, size: int) -> bytes:
        """Returns an object's bytes after verifying their SHA-256.

        If the digest does not match, the bytes may have been corrupted in transit and are read again.

        Raises:
            DamagedObjectError: the object is missing or too large, or none of ``READ_ATTEMPTS`` reads matches the
                digest.
        """
        for _ in range(READ_ATTEMPTS):
            try:
                body = self.read(key, max_bytes=size)
            except IntegrityError:  # the object is too large, or a corrupted header reports a wrong size
                continue
            if body is None:
                raise NoSuchKeyError.of(key)
            if hashlib.sha256(body).hexdigest() == sha256:
                return body
        raise DamagedObjectError(f"{key} does not match its checksum")

    def read_json(self, key: str) -> Any | None:
        """Returns an object parsed as JSON, or None if the object does not exist.

        Raises:
            IntegrityError: the object is not JSON.
        """
        body = self.read(key)
        try:
            return None if body is None else json.loads(body)
        except ValueError as error:
            raise IntegrityError(f"{key} is not JSON: delete it and run the report again") from error

    def put_json_once(self, key: str, value: Any) -> bool:
        """Writes a value as JSON with ``put_once``.

        Raises:
            IntegrityError: the JSON is larger than ``MAX_RECORD_BYTES``.
        """
        body = json.dumps(value, ensure_ascii=False, indent=1).encode()
        if len(body) > MAX_RECORD_BYTES:
            raise IntegrityError(
                f"{key} would have {len(body)} bytes, more than the limit of {MAX_RECORD_BYTES}: run a shorter range"
            )
        return self.put_once(key, body, content_type="application/json")

    def has_size(self, key: str, size: int) -> bool:
        """Returns whether an object exists and has this size.

        Sends a second request before returning False, because a truncated response may be missing digits of the size.
        """
        return self.size(key) == size or self.size(key) == size

    def open_object(self, key: str, size: int) -> RangeReader:
        """Returns a seekable file backed by an object of ``size`` bytes. Each read requests one range."""
        return RangeReader(partial(self.read_range, key), size)

    def open_verified(self, key: str, size: int, checksums: str) -> RangeReader:
        """Returns a seekable file that checks each block it reads against the object's checksums."""
        ranges = VerifiedRanges(key, partial(self.read_range, key), size=size, checksums=checksums)
        return RangeReader(ranges, size)


def attachment(filename: str) -> str:
    """Returns the Content-Disposition header for a download, including an ASCII name for old clients (RFC 6266)."""
    plain = "".join(letter if letter.isascii() and letter.isprintable() else "_" for letter in filename)
    plain = plain.replace("\\", "_").replace('"', "_").replace("%", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
