"""The package: a ZIP archive that is written in one go, deflated by ISA-L, without ZIP64."""

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
    """A sink that knows how many bytes it has taken."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.bytes = 0

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._sink.write(data)
        self.bytes += len(data)


def write_package(parts: Iterator[Part], sink: CountedSink, *, made_at: datetime) -> None:
    """Writes parts as they come, each deflated while it is given.

    Args:
        parts: names and contents; a content is exhausted before the next part is asked for.
        sink: where the archive goes.
        made_at: what every part tells as its time.

    Raises:
        WorkbookError: the archive would need ZIP64, which Excel dislikes.
    """
    at = made_at.astimezone(UTC).replace(tzinfo=None)
    # stream-zip only measures, sums and deflates what it is given: any buffer will do
    members = ((name, at, MODE, ZIP_32, cast("Iterable[bytes]", content)) for name, content in parts)
    try:
        for chunk in stream_zip(
            members, chunk_size=WRITE_BYTES, get_compressobj=_compressor, extended_timestamps=False
        ):
            sink.write(chunk)
    except ZipError as error:
        raise WorkbookError(f"the workbook is larger than a ZIP archive of 4 GiB: {type(error).__name__}") from error


def _compressor() -> Any:
    return isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, -15)
