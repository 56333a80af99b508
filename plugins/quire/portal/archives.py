"""A zip of a run's files, made while it is sent, whose size is known before its first byte.

The size goes into ``Content-Length``. Middleware between here and the server (Starlette's ``BaseHTTPMiddleware``) ends
an answer as if all were well when its source fails; with the length, the server notices what is missing and closes the
connection, and so does the client.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from stat import S_IFREG
from typing import Any

from stream_zip import ZIP_64, stream_zip

from quire.errors import IntegrityError
from quire.object_store import Store
from quire.records.stage_records import RenderedFile

BLOCK_BYTES = 0xFFFF  # the most that a stored block holds
BLOCK_HEADER = struct.Struct("<BHH")


class StoredBlocks:
    """Deflate that only stores (RFC 1951, 3.2.4): what is deflated already gets no smaller."""

    def __init__(self) -> None:
        self._rest = b""

    def compress(self, data: bytes) -> bytes:
        """Returns the blocks that are full."""
        data = self._rest + data
        full = len(data) // BLOCK_BYTES * BLOCK_BYTES
        self._rest = data[full:]
        return b"".join(_block(data[first : first + BLOCK_BYTES]) for first in range(0, full, BLOCK_BYTES))

    def flush(self) -> bytes:
        """Returns the last block, which may be empty."""
        return _block(self._rest, is_last=True)


def _block(data: bytes, *, is_last: bool = False) -> bytes:
    return BLOCK_HEADER.pack(is_last, len(data), len(data) ^ 0xFFFF) + data


def archive_bytes(files: Sequence[RenderedFile], made_at: datetime) -> int:
    """Returns the size of ``stream_archive``: of a zip of empty files with these names, and of what these hold."""
    empty = sum(map(len, _zip([(file.name, ()) for file in files], made_at)))
    return empty + sum(file.bytes + file.bytes // BLOCK_BYTES * BLOCK_HEADER.size for file in files)


def stream_archive(files: Sequence[RenderedFile], made_at: datetime, *, store: Store) -> Generator[bytes]:
    """Gives a zip of files from the store.

    Raises:
        IntegrityError: a file is not what was stored.
        StoreRefusedError, StoreUnavailableError: the object store does not give it.
    """
    yield from _zip([(file.name, _verified(file, store)) for file in files], made_at)


def _zip(members: Iterable[tuple[str, Iterable[bytes]]], made_at: datetime) -> Iterable[bytes]:
    entries: Any = ((name, made_at, S_IFREG | 0o644, ZIP_64, content) for name, content in members)
    make: Any = StoredBlocks
    return stream_zip(entries, get_compressobj=make)


def _verified(file: RenderedFile, store: Store) -> Iterator[bytes]:
    digest = hashlib.sha256()
    with closing(store.stream(file.key)) as parts:
        for part in parts:
            digest.update(part)
            yield part
    if digest.hexdigest() != file.sha256:
        raise IntegrityError(f"{file.key} is not what was stored")
