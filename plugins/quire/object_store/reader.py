"""A stored object as a seekable file, for readers that know which ranges they want (PyArrow's Parquet)."""

from __future__ import annotations

import io
from collections.abc import Callable

from quire.errors import DamagedObjectError
from quire.object_store.body import READ_ATTEMPTS
from quire.object_store.checksums import BLOCK_BYTES, blocks_match, ensure_checksums


class RangeReader(io.RawIOBase):
    """A read-only, seekable file over one object of ``size`` bytes.

    Every read is one call of ``read_range(start, size)``, so the caller should coalesce its reads.
    """

    def __init__(self, read_range: Callable[[int, int], bytes], size: int) -> None:
        self._read_range, self._size, self._position = read_range, size, 0

    def readable(self) -> bool:
        """Says that it reads."""
        return True

    def seekable(self) -> bool:
        """Says that it seeks."""
        return True

    def tell(self) -> int:
        """Returns the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves the position, without a request."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Returns up to ``size`` bytes from the position on, all that is left for -1."""
        left = max(self._size - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        found = self._read_range(self._position, wanted) if wanted else b""
        self._position += len(found)
        return found


class VerifiedRanges:
    """Reads ranges of one object, and compares every block that they touch with its checksum.

    A block that does not match is read again, since the connection may have damaged it; one that never matches is
    damaged in the store. Keeps the last block, which the next range often begins in.

    Args:
        key: of the object, for errors.
        read_range: returns ``size`` bytes from ``start``.
        size: of the object.
        checksums: of its blocks.

    Raises:
        DamagedObjectError: there are not as many checksums as blocks.
    """

    def __init__(self, key: str, read_range: Callable[[int, int], bytes], *, size: int, checksums: str) -> None:
        ensure_checksums(key, size, checksums)
        self._key, self._read_range, self._size, self._checksums = key, read_range, size, checksums
        self._last: tuple[int, bytes] = (-1, b"")

    def __call__(self, start: int, size: int) -> bytes:
        """Returns verified bytes.

        Raises:
            DamagedObjectError: the object is missing, shorter, or has other bytes.
        """
        first, end = start // BLOCK_BYTES, min(-(-(start + size) // BLOCK_BYTES) * BLOCK_BYTES, self._size)
        kept = self._last[1] if self._last[0] == first else b""
        begin = first * BLOCK_BYTES + len(kept)
        data = kept + (self._read_blocks(begin, end - begin) if begin < end else b"")
        last = (end - 1) // BLOCK_BYTES
        self._last = (last, data[(last - first) * BLOCK_BYTES :])
        offset = start - first * BLOCK_BYTES
        return data[offset : offset + size]

    def _read_blocks(self, begin: int, size: int) -> bytes:
        for _ in range(READ_ATTEMPTS):
            data = self._read_range(begin, size)
            if blocks_match(data, begin // BLOCK_BYTES, self._checksums):
                return data
        raise DamagedObjectError(f"{self._key} has other bytes than were stored")
