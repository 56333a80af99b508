"""Streams a zip of a run's files. The zip's size is known before the first byte is sent.

The response has a ``Content-Length`` header, so that errors do not go unnoticed. If a streamed response fails,
middleware such as Starlette's ``BaseHTTPMiddleware`` ends the response as if it were complete. Because of the header,
the server then detects the missing bytes and closes the connection, and the client reports an error.
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
from quire.record_types.stage_records import RenderedFile

BLOCK_BYTES = 0xFFFF  # maximum size of an uncompressed block
BLOCK_HEADER = struct.Struct("<BHH")


class StoredBlocks:
    """A deflate stream of uncompressed blocks (RFC 1951, 3.2.4), because the files are already compressed."""

    def __init__(self) -> None:
        self._rest = b""

    def compress(self, data: bytes) -> bytes:
        """Adds data and returns the blocks that are now full."""
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
    """Returns the zip's size, which is the size of a zip of empty files plus the size of the blocks."""
    empty = sum(map(len, _zip([(file.name, ()) for file in files], made_at)))
    return empty + sum(file.bytes + file.bytes // BLOCK_BYTES * BLOCK_HEADER.size for file in files)


def stream_archive(files: Sequence[RenderedFile], made_at: datetime, *, store: Store) -> Generator[bytes]:
    """Yields the bytes of a zip that contains the files.

    Raises:
        IntegrityError: a file's bytes do not match its SHA-256.
        StoreRefusedError, StoreUnavailableError: a file cannot be read.
    """
    yield from _zip([(file.name, _read_verified(file, store)) for file in files], made_at)


def _zip(members: Iterable[tuple[str, Iterable[bytes]]], made_at: datetime) -> Iterable[bytes]:
    entries: Any = ((name, made_at, S_IFREG | 0o644, ZIP_64, content) for name, content in members)
    new_compressor: Any = StoredBlocks
    return stream_zip(entries, get_compressobj=new_compressor)


def _read_verified(file: RenderedFile, store: Store) -> Iterator[bytes]:
    digest = hashlib.sha256()
    with closing(store.stream(file.key)) as parts:
        for part in parts:
            digest.update(part)
            yield part
    if digest.hexdigest() != file.sha256:
        raise IntegrityError(f"{file.key} does not match its SHA-256")
