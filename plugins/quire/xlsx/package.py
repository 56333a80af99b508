"""Streams the package as a ZIP archive without ZIP64, compressed by ISA-L."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

from isal import isal_zlib
from stream_zip import ZIP_32, ZipError, stream_zip

from quire.errors import WorkbookError
from quire.xlsx.model import Sink

LEVEL = 1  # of 0 to 3
MODE = 0o100644
WRITE_BYTES = 1024 * 1024

Part = tuple[str, Iterable[bytes | memoryview]]


class CountedSink:
    """A sink that counts the bytes it receives."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Writes the next bytes."""
        self._sink.write(data)
        self.bytes += len(data)


def write_package(parts: Iterator[Part], sink: CountedSink, *, made_at: datetime) -> None:
    """Writes an archive and compresses each part as it arrives.

    Args:
        parts: the names and contents of the parts; a part's content is exhausted before the next part is requested.
        sink: receives the archive.
        made_at: every part's modification time.

    Raises:
        WorkbookError: the archive would need ZIP64; Excel repairs or rejects ZIP64 archives.
    """
    modified_at = made_at.astimezone(UTC).replace(tzinfo=None)
    # stream-zip accepts any buffer, because it only measures, checksums and compresses the data
    members = ((name, modified_at, MODE, ZIP_32, cast("Iterable[bytes]", content)) for name, content in parts)
    try:
        for chunk in stream_zip(
            members, chunk_size=WRITE_BYTES, get_compressobj=_compressor, extended_timestamps=False
        ):
            sink.write(chunk)
    except ZipError as error:
        raise WorkbookError(f"the workbook exceeds ZIP's limit of 4 GiB: {type(error).__name__}") from error


def _compressor() -> Any:
    return isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
