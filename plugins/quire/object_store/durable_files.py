"""File operations whose results survive a crash, based on temporary files, atomic renames and synced folders."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

ATTEMPTS = 20
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}  # raised by file systems without hard links

Result = TypeVar("Result")


class StagedFile:
    """A temporary file with a unique name, opened for writing.

    Args:
        folder: the folder in which the file is created; created if missing.
        top: when the file is deleted, empty folders below this folder are also removed.
    """

    def __init__(self, folder: Path, *, top: Path) -> None:
        self.path, self._top = folder / uuid.uuid4().hex, top
        self._file = with_parents(self.path, lambda: self.path.open("xb"))

    def write(self, data: bytes | memoryview) -> None:
        """Writes the next bytes."""
        self._file.write(data)

    def sync(self) -> None:
        """Waits until the bytes are on disk, then closes the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        """Closes the file, and deletes it unless it was renamed."""
        with suppress(OSError):  # flushing buffered bytes fails if the disk is full
            self._file.close()
        remove_file(self.path, top=self._top)


def with_parents(path: Path, create: Callable[[], Result]) -> Result:
    """Creates a file and its parent folders. Tries again if another process removes the folders in the meantime."""
    for attempt in range(ATTEMPTS):
        try:
            _make_folder(path.parent)
            return create()
        except FileNotFoundError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError  # the last attempt returns or raises


def _make_folder(folder: Path) -> None:
    """Creates a folder and its parents, and syncs each new folder's parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def replace_file(source: Path, target: Path) -> None:
    """Renames a file, replacing any existing target.

    Raises:
        FileNotFoundError: the source does not exist.
    """
    source.stat()
    with_parents(target, lambda: source.replace(target))


def link_exclusively(source: Path, target: Path) -> bool:
    """Links a file to a second name unless that name exists. Returns whether the link was created.

    If the file system does not support hard links, renames the file instead. Without hard links, the caller must hold a
    lock: another process could otherwise create the target just before the rename replaces it.
    """
    try:
        with_parents(target, lambda: os.link(source, target))
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if target.exists():
            return False
        replace_file(source, target)
    return True


def remove_file(path: Path, *, top: Path) -> None:
    """Deletes a file if it exists, along with any empty parent folders below ``top``."""
    if not path.is_dir():
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
    for folder in path.parents:
        if folder == top:
            return
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # it contains other files
            return


def sync_folder(folder: Path) -> None:
    """Waits until a folder's entries are on disk. Does nothing if the folder no longer exists."""
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
