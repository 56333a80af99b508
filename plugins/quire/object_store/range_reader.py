"""Exposes a stored object as a seekable file that reads byte ranges, as PyArrow's Parquet reader requires."""

from __future__ import annotations

import io
from collections.abc import Callable

from quire.errors import DamagedObjectError
from quire.object_store.block_checksums import BLOCK_BYTES, blocks_match, ensure_checksums

READ_ATTEMPTS = 3


class RangeReader(io.RawIOBase):
    """A read-only, seekable file backed by an object of ``size`` bytes.

    Every read calls ``read_range(start, size)`` once, so callers should combine small reads.
    """

    def __init__(self, read_range: Callable[[int, int], bytes], size: int) -> None:
        self._read_range, self._size, self._position = read_range, size, 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the current position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Sets the position without sending a request."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Returns up to ``size`` bytes from the current position; all remaining bytes if ``size`` is -1."""
        remaining = max(self._size - self._position, 0)
        count = remaining if size is None or size < 0 else min(size, remaining)
        data = self._read_range(self._position, count) if count else b""
        self._position += len(data)
        return data


class VerifiedRanges:
    """Reads ranges of an object, and verifies every block that overlaps a range.

    If a block does not match its checksum, it may have been corrupted in transit and is read again. A block that never
    matches is damaged in the store. The last block stays in memory, because the next range often starts in it.

    Args:
        key: the object's key, for error messages.
        read_range: returns ``size`` bytes from ``start``.
        size: the object's size in bytes.
        checksums: the CRC-32 of each block.

    Raises:
        DamagedObjectError: the number of checksums differs from the number of blocks.
    """

    def __init__(self, key: str, read_range: Callable[[int, int], bytes], *, size: int, checksums: str) -> None:
        ensure_checksums(key, size, checksums)
        self._key, self._read_range, self._size, self._checksums = key, read_range, size, checksums
        self._last: tuple[int, bytes] = (-1, b"")

    def __call__(self, start: int, size: int) -> bytes:
        """Returns verified bytes.

        Raises:
            DamagedObjectError: the object is missing or too short, or a block does not match its checksum.
        """
        first, end = start // BLOCK_BYTES, min(-(-(start + size) // BLOCK_BYTES) * BLOCK_BYTES, self._size)
        cached = self._last[1] if self._last[0] == first else b""
        begin = first * BLOCK_BYTES + len(cached)
        data = cached + (self._read_blocks(begin, end - begin) if begin < end else b"")
        last = (end - 1) // BLOCK_BYTES
        self._last = (last, data[(last - first) * BLOCK_BYTES :])
        offset = start - first * BLOCK_BYTES
        return data[offset : offset + size]

    def _read_blocks(self, begin: int, size: int) -> bytes:
        for _ in range(READ_ATTEMPTS):
            data = self._read_range(begin, size)
            if blocks_match(data, begin // BLOCK_BYTES, self._checksums):
                return data
        raise DamagedObjectError(f"{self._key} does not match its checksum")
