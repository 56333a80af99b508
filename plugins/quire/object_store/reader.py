"""A stored object as a seekable file, for readers that know which ranges they want (PyArrow's Parquet)."""

from __future__ import annotations

import io
from collections.abc import Callable


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
