"""Limits the memory used by bodies with unverified signatures, because anyone can send them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

MAX_HELD_BYTES = 16 * 1024 * 1024  # per server process; equals the largest ``max_bytes`` that a webhook may set


@dataclass(slots=True, eq=False)
class HeldBody:
    """The part of a body received so far, and the receiving task's cancel scope."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    data: bytearray = field(default_factory=bytearray)


class HeldBodies:
    """The unverified bodies that a process holds in memory.

    At the limit, the oldest body is dropped, because legitimate senders finish quickly.

    Args:
        max_bytes: the limit.
    """

    def __init__(self, *, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bodies: dict[HeldBody, None] = {}  # oldest first
        self._bytes = 0

    @contextmanager
    def hold(self) -> Iterator[HeldBody]:
        """Counts a body while the context is open. The body's scope is canceled if other bodies need the memory."""
        body = HeldBody()
        self._bodies[body] = None
        try:
            yield body
        finally:
            self._forget(body)

    def add(self, body: HeldBody, chunk: bytes) -> None:
        """Appends a received chunk, then drops the oldest bodies until the remaining bodies fit within the limit."""
        body.data += chunk
        if body in self._bodies:
            self._bytes += len(chunk)
        while self._bytes > self._max_bytes:
            oldest = next(iter(self._bodies))
            oldest.scope.cancel()
            self._forget(oldest)

    def _forget(self, body: HeldBody) -> None:
        if body in self._bodies:
            del self._bodies[body]
            self._bytes -= len(body.data)
