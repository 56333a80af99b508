"""Stores in memory whose reads and listings can fail, block or be observed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator

from quire.object_store.memory_store import MemoryStore
from quire.object_store.store import MAX_RECORD_BYTES, StoredObject

LONG = 60.0


class HungStore(MemoryStore):
    """A store whose ``list`` calls block until a test releases them, and then return no objects."""

    def __init__(self) -> None:
        super().__init__()
        self.entered: list[str] = []
        self.released = threading.Event()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Waits until a test releases the listing, and returns no objects."""
        self.entered.append(prefix)
        self.released.wait(LONG)
        return iter(())


class ObservedStore(MemoryStore):
    """A store that calls a function before each read or listing; an error that the function raises replaces it.

    Args:
        before_read: a function that receives the object's key.
        before_list: a function that receives the prefix.
    """

    def __init__(
        self,
        before_read: Callable[[str], object] = lambda key: None,
        before_list: Callable[[str], object] = lambda prefix: None,
    ) -> None:
        super().__init__()
        self.before_read, self.before_list = before_read, before_list

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields every object whose key starts with ``prefix``."""
        self.before_list(prefix)
        return super().list(prefix)

    def read(self, key: str, *, max_bytes: int = MAX_RECORD_BYTES) -> bytes | None:
        """Returns a small object's bytes."""
        self.before_read(key)
        return super().read(key, max_bytes=max_bytes)

    def read_range(self, key: str, start: int, size: int) -> bytes:
        """Returns a range of an object's bytes."""
        self.before_read(key)
        return super().read_range(key, start, size)


class StreamingStore(MemoryStore):
    """A store that records which of its objects are being streamed."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[str] = []  # keys

    def stream(self, key: str) -> Generator[bytes]:
        """Yields an object's bytes in chunks."""
        self.streams.append(key)
        try:
            yield from super().stream(key)
        finally:
            self.streams.remove(key)
