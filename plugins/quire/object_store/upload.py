"""The interface for writing a large object to a store."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from quire.object_store.block_checksums import BlockChecksums


class Upload(ABC):
    """A write-only file. The object is created only if the context ends without an error.

    Attributes:
        bytes: number of bytes written so far.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._checksums = BlockChecksums()
        self.bytes = 0
        self.closed = False

    @property
    def sha256(self) -> str:
        """The SHA-256 of all bytes written, in hex digits."""
        return self._digest.hexdigest()

    @property
    def checksums(self) -> str:
        """The CRC-32 of each block written so far, for verifying range reads."""
        return self._checksums.hexdigest()

    def write(self, data: bytes | memoryview) -> int:
        """Appends bytes to the object. May block until the store has received earlier bytes."""
        self._digest.update(data)
        self._checksums.update(data)
        self._append(data)
        size = len(data)
        self.bytes += size
        return size

    def flush(self) -> None:  # noqa: B027 - PyArrow calls it
        """Does nothing."""

    def readable(self) -> bool:
        """Returns False."""
        return False

    def writable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns False."""
        return False

    def close(self) -> None:  # noqa: B027
        """Does nothing, because the upload is completed or aborted when the context ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._complete()
            else:
                self._abort()
        except BaseException:
            if error is None:
                self._abort()
            raise
        finally:
            self.closed = True
            self._release()

    @abstractmethod
    def _append(self, data: bytes | memoryview) -> None:
        """Writes the next bytes."""

    @abstractmethod
    def _complete(self) -> None:
        """Completes the upload, which creates the object."""

    @abstractmethod
    def _abort(self) -> None:
        """Deletes everything that was uploaded."""

    def _release(self) -> None:  # noqa: B027 - not every upload holds resources
        """Releases the upload's resources after it has ended."""
