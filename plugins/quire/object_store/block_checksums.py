"""Computes a checksum for each block of an object, so that a reader can verify any range without reading the rest."""

from __future__ import annotations

from isal.isal_zlib import crc32

from quire.errors import DamagedObjectError

BLOCK_BYTES = 256 * 1024
DIGITS = 8  # hex digits in a CRC-32


class BlockChecksums:
    """Computes the CRC-32 of each ``BLOCK_BYTES`` block while an object is written."""

    def __init__(self) -> None:
        self._complete: list[str] = []
        self._crc = self._filled = 0

    def update(self, data: bytes | memoryview) -> None:
        """Adds the object's next bytes."""
        with memoryview(data) as view:
            start = 0
            while start < len(view):
                piece = view[start : start + BLOCK_BYTES - self._filled]
                self._crc = crc32(piece, self._crc)
                self._filled += len(piece)
                start += len(piece)
                if self._filled == BLOCK_BYTES:
                    self._complete.append(f"{self._crc:08x}")
                    self._crc = self._filled = 0

    def hexdigest(self) -> str:
        """Returns the concatenated checksums of all blocks, each as eight hex digits. The last block may be shorter."""
        last = [f"{self._crc:08x}"] if self._filled else []
        return "".join((*self._complete, *last))


def blocks_match(data: bytes, first_block: int, checksums: str) -> bool:
    """Returns whether data that starts at block ``first_block`` matches the object's checksums."""
    actual = BlockChecksums()
    actual.update(data)
    digits = actual.hexdigest()
    start = first_block * DIGITS
    return checksums[start : start + len(digits)] == digits


def ensure_checksums(key: str, size: int, checksums: str) -> None:
    """Checks that an object has one checksum per block.

    Raises:
        DamagedObjectError: the number of checksums differs from the number of blocks.
    """
    if len(checksums) != -(-size // BLOCK_BYTES) * DIGITS:
        raise DamagedObjectError(f"{key} was stored without a checksum for each block")
