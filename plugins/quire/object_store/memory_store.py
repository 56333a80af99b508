"""A store in this process's memory, for tests."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from quire.errors import DamagedObjectError, StoreUnavailableError
from quire.object_store.store import (
    BINARY,
    MAX_RECORD_BYTES,
    STREAM_BYTES,
    NoSuchKeyError,
    Store,
    StoredObject,
    too_large,
)
from quire.object_store.upload import Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    body: bytes
    modified: datetime
    content_type: str


def _system_time() -> datetime:
    return datetime.now(UTC)


class MemoryStore(Store):
    """A store that keeps its objects in a dictionary.

    Args:
        clock: returns the modification time of new objects.
    """

    def __init__(self, *, clock: Callable[[], datetime] = _system_time) -> None:
        self._clock = clock
        self._name = uuid.uuid4().hex
        self._objects: dict[str, _Object] = {}
        self._uploads: dict[_MemoryUpload, datetime] = {}
        self._lock = threading.RLock()

    @property
    def location(self) -> str:
        """The store's unique name, for messages."""
        return f"memory {self._name}"

    def check(self) -> None:
        """Does nothing, because memory is always available."""

    def now(self) -> datetime:
        """Returns the current time by the store's clock."""
        return self._clock()

    def content_type(self, key: str) -> str:
        """Returns the content type with which an object was written."""
        return self._existing(key).content_type

    def read(self, key: str, *, max_bytes: int = MAX_RECORD_BYTES) -> bytes | None:
        """Returns a small object's bytes, or None if the object does not exist."""
        stored = self._objects.get(key)
        if stored is None:
            return None
        if len(stored.body) > max_bytes:
            raise too_large(key, max_bytes, size=len(stored.body))
        return stored.body

    def read_range(self, key: str, start: int, size: int) -> bytes:
        """Returns ``size`` bytes from offset ``start``."""
        data = self._existing(key).body[start : start + size]
        if len(data) != size:
            raise DamagedObjectError(f"{key} is {size - len(data)} bytes too short: run the report again")
        return data

    def stream(self, key: str) -> Generator[bytes]:
        """Yields an object's bytes in chunks."""
        body = self._existing(key).body
        for start in range(0, len(body), STREAM_BYTES):
            yield body[start : start + STREAM_BYTES]

    def _existing(self, key: str) -> _Object:
        try:
            return self._objects[key]
        except KeyError:
            raise NoSuchKeyError.of(key) from None

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes, or None if the object does not exist."""
        stored = self._objects.get(key)
        return None if stored is None else len(stored.body)

    def age(self, key: str) -> timedelta | None:
        """Returns the time since an object was written, or None if the object does not exist."""
        stored = self._objects.get(key)
        return None if stored is None else self._clock() - stored.modified

    def put(self, key: str, body: bytes, *, content_type: str = BINARY) -> None:
        """Writes a small object, replacing any existing object."""
        with self._lock:
            self._objects[key] = _Object(body=body, modified=self._clock(), content_type=content_type)

    def put_once(self, key: str, body: bytes, *, content_type: str = BINARY) -> bool:
        """Writes a small object unless it already exists. Returns whether the stored bytes equal ``body``."""
        with self._lock:
            if key not in self._objects:
                self.put(key, body, content_type=content_type)
            return self._objects[key].body == body

    def open_upload(self, key: str, *, content_type: str = BINARY) -> Upload:
        """Returns a context manager that writes a large object."""
        upload = _MemoryUpload(self, key, content_type)
        with self._lock:
            self._uploads[upload] = self._clock()
        return upload

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields every object whose key starts with ``prefix``, in key order."""
        with self._lock:
            keys = sorted((key for key in self._objects if key.startswith(prefix)), key=str.encode)
        for key in keys:
            stored = self._objects.get(key)
            if stored is not None:
                yield StoredObject(key=key, bytes=len(stored.body), modified=stored.modified)

    def folders(self, prefix: str) -> Iterator[str]:
        """Yields the folders directly under ``prefix``, each with a trailing slash."""
        names = (entry.key[len(prefix) :].partition("/") for entry in self.list(prefix))
        yield from dict.fromkeys(f"{prefix}{name}/" for name, slash, _ in names if slash)

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes objects in any order and ignores keys that do not exist."""
        for key in keys:
            with self._lock:
                self._objects.pop(key, None)

    def delete_unchanged(self, key: str, body: bytes) -> bool:
        """Deletes a small object if its bytes still equal ``body``. Returns whether the object was deleted."""
        with self._lock:
            stored = self._objects.get(key)
            if stored is None or stored.body != body:
                return False
            del self._objects[key]
        return True

    def abort_uploads(self, prefix: str, *, before: datetime) -> int:
        """Aborts unfinished uploads that started before a given time. Returns how many were aborted."""
        with self._lock:
            stale = [
                upload
                for upload, started in self._uploads.items()
                if upload.key.startswith(prefix) and started < before
            ]
            for upload in stale:
                del self._uploads[upload]
        return len(stale)

    def presign(self, key: str, *, seconds: int, filename: str) -> str:
        """Returns a URL that identifies the object but cannot be opened."""
        return f"memory:///{quote(key)}"


class _MemoryUpload(Upload):
    def __init__(self, store: MemoryStore, key: str, content_type: str) -> None:
        super().__init__()
        self.key = key
        self._store, self._content_type, self._buffer = store, content_type, bytearray()

    def _append(self, data: bytes | memoryview) -> None:
        self._buffer += data

    def _complete(self) -> None:
        with self._store._lock:
            if self not in self._store._uploads:
                raise StoreUnavailableError(f"the upload of {self.key} was aborted by another process: try again")
            self._store.put(self.key, bytes(self._buffer), content_type=self._content_type)

    def _abort(self) -> None:
        """Does nothing, because the object was never written."""

    def _release(self) -> None:
        with self._store._lock:
            self._store._uploads.pop(self, None)
