"""A store in a local folder. An object's key is its file's path."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from quire.errors import DamagedObjectError, StoreRefusedError, StoreUnavailableError
from quire.object_store.durable_files import (
    StagedFile,
    link_exclusively,
    remove_file,
    replace_file,
    sync_folder,
)
from quire.object_store.folder_scan import scan_files, scan_folders
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

RESERVED = ".quire"  # holds the lock and unfinished files
TRANSIENT_ERRNOS = {
    errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC,
    errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip
ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class FolderStore(Store):
    """A store in a local folder, which is created by the first write.

    A file is written under a temporary name, synced and then renamed, so that the file is either complete or absent
    after a crash. Processes that share the folder synchronize through a lock file (flock). Keys that differ only in
    case require a case-sensitive file system.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._staging = self._root / RESERVED / "uploads"

    @property
    def location(self) -> str:
        """The folder's name, for messages."""
        return f"folder {self._root}"

    def check(self) -> None:
        """Creates the folder if necessary, and checks that files can be written to it."""
        with self._translate_errors("its files"), self._lock_files():
            StagedFile(self._staging / "check", top=self._staging).discard()

    def now(self) -> datetime:
        """Returns this machine's current time."""
        return datetime.now(UTC)

    def read(self, key: str, *, max_bytes: int = MAX_RECORD_BYTES) -> bytes | None:
        """Returns a small object's bytes, or None if the object does not exist."""
        path = self._path(key)
        with self._translate_errors(key):
            try:
                with path.open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    if size > max_bytes:
                        raise too_large(key, max_bytes, size=size)
                    return file.read()
            except ABSENT:
                return None

    def read_range(self, key: str, start: int, size: int) -> bytes:
        """Returns ``size`` bytes from offset ``start``."""
        path = self._path(key)
        with self._translate_errors(key):
            try:
                with path.open("rb") as file:
                    file.seek(start)
                    data = file.read(size)
            except ABSENT as error:
                raise NoSuchKeyError.of(key) from error
        if len(data) != size:
            raise DamagedObjectError(f"{key} is {size - len(data)} bytes too short: run the report again")
        return data

    def stream(self, key: str) -> Generator[bytes]:
        """Yields an object's bytes in chunks."""
        path = self._path(key)
        with self._translate_errors(key):
            try:
                file = path.open("rb")
            except ABSENT as error:
                raise NoSuchKeyError.of(key) from error
        with file:
            while piece := self._read_piece(file.fileno(), key):
                yield piece

    def _read_piece(self, descriptor: int, key: str) -> bytes:
        with self._translate_errors(key):
            return os.read(descriptor, STREAM_BYTES)

    def size(self, key: str) -> int | None:
        """Returns an object's size in bytes, or None if the object does not exist."""
        status = self._status(key)
        return None if status is None else status.st_size

    def age(self, key: str) -> timedelta | None:
        """Returns the time since an object was written, or None if the object does not exist."""
        status = self._status(key)
        return None if status is None else self.now() - _modified_at(status)

    def _status(self, key: str) -> os.stat_result | None:
        path = self._path(key)
        with self._translate_errors(key):
            try:
                return path.stat() if path.is_file() else None
            except ABSENT:
                return None

    def put(self, key: str, body: bytes, *, content_type: str = BINARY) -> None:
        """Writes a small object, replacing any existing object."""
        with self.open_upload(key, content_type=content_type) as upload:
            upload.write(body)

    def put_once(self, key: str, body: bytes, *, content_type: str = BINARY) -> bool:
        """Writes a small object unless it already exists. Returns whether the stored bytes equal ``body``."""
        path = self._path(key)
        with self._translate_errors(key):
            staged = StagedFile(self._staging / key, top=self._staging)
            try:
                staged.write(body)
                staged.sync()
                with self._lock_files():
                    created = link_exclusively(staged.path, path)
            finally:
                staged.discard()
            sync_folder(path.parent)
        return created or self.read(key) == body

    def open_upload(self, key: str, *, content_type: str = BINARY) -> Upload:
        """Returns a context manager that writes a large object."""
        return _FolderUpload(self, key)

    def _publish(self, key: str, staged: StagedFile) -> None:
        path = self._path(key)
        staged.sync()
        try:
            with self._lock_files():
                replace_file(staged.path, path)
        except FileNotFoundError as error:
            raise StoreUnavailableError(f"the upload of {key} was aborted by another process: try again") from error
        staged.discard()
        sync_folder(path.parent)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields every object whose key starts with ``prefix``, in key order."""
        if not self._can_match(prefix):
            return
        with self._translate_errors(prefix):
            for key, entry in scan_files(self._root, prefix):
                if key.startswith(f"{RESERVED}/"):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # the file was deleted after its folder was scanned
                    continue
                yield StoredObject(key=key, bytes=status.st_size, modified=_modified_at(status))

    def folders(self, prefix: str) -> Iterator[str]:
        """Yields the folders directly under ``prefix``, each with a trailing slash."""
        if self._can_match(prefix):
            with self._translate_errors(prefix):
                yield from (name for name in scan_folders(self._root, prefix) if name != f"{RESERVED}/")

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes objects in any order and ignores keys that do not exist. Removes folders that become empty."""
        for key in keys:
            path = self._path(key)
            with self._translate_errors(key):
                remove_file(path, top=self._root)

    def delete_unchanged(self, key: str, body: bytes) -> bool:
        """Deletes a small object if its bytes still equal ``body``. Returns whether the object was deleted."""
        path = self._path(key)
        with self._translate_errors(key), self._lock_files():
            if self.size(key) != len(body) or self.read(key) != body:
                return False
            remove_file(path, top=self._root)
        return True

    def abort_uploads(self, prefix: str, *, before: datetime) -> int:
        """Deletes temporary files that were last written before a given time. Returns how many were deleted."""
        aborted = 0
        if not self._can_match(prefix):
            return aborted
        with self._translate_errors(prefix):
            for name, entry in scan_files(self._staging, prefix):
                key = name.rpartition("/")[0]
                try:
                    stale = _modified_at(entry.stat(follow_symlinks=False)) < before
                except FileNotFoundError:
                    continue
                if key.startswith(prefix) and stale:
                    remove_file(Path(entry.path), top=self._staging)
                    aborted += 1
        return aborted

    def presign(self, key: str, *, seconds: int, filename: str) -> str:
        """Returns an object's ``file:`` URL. The URL never expires, but readers need access to the folder."""
        return self._path(key).as_uri()

    def _path(self, key: str) -> Path:
        if not _is_relative_path(key):
            raise StoreRefusedError(f"{key!r} is not a valid object key in a local folder")
        return self._root / key

    def _can_match(self, prefix: str) -> bool:
        """Returns whether a valid key can start with ``prefix``. Paths outside the root are not valid keys."""
        folder = prefix.rpartition("/")[0]
        return not prefix or (prefix[0] != "/" and (not folder or _is_relative_path(folder)))

    @contextmanager
    def _lock_files(self) -> Iterator[None]:
        """Locks out other processes and threads while a file is created, replaced or deleted."""
        lock = self._root / RESERVED / "lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("ab") as file:  # closing the file releases the lock
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _translate_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"folder {self._root} failed for {what}: {error.strerror}"
            if error.errno in TRANSIENT_ERRNOS:
                raise StoreUnavailableError(message) from error
            raise StoreRefusedError(f"{message}; check its path and permissions") from error


class _FolderUpload(Upload):
    def __init__(self, store: FolderStore, key: str) -> None:
        super().__init__()
        self._store, self._key = store, key
        store._path(key)
        with store._translate_errors(key):
            self._staged = StagedFile(store._staging / key, top=store._staging)

    def _append(self, data: bytes | memoryview) -> None:
        with self._store._translate_errors(self._key):
            self._staged.write(data)

    def _complete(self) -> None:
        with self._store._translate_errors(self._key):
            self._store._publish(self._key, self._staged)

    def _abort(self) -> None:
        with self._store._translate_errors(self._key):
            self._staged.discard()


def _modified_at(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _is_relative_path(key: str) -> bool:
    parts = key.split("/")
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return False
    return {"", ".", ".."}.isdisjoint(parts) and parts[0] != RESERVED and b"\0" not in encoded
