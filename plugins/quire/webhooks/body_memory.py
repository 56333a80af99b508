"""Bodies whose signatures are not verified yet: anybody may send them, so together they hold little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio

MAX_HELD_BYTES = 16 * 1024 * 1024  # in a server process; as much as the largest body that a source may allow


@dataclass(slots=True, eq=False)
class HeldBody:
    """One body, as far as it has come, and the scope of the work on it."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    data: bytearray = field(default_factory=bytearray)


class HeldBodies:
    """All of them. Where they get too large, the oldest is given up: a sender's own arrives at once."""

    def __init__(self) -> None:
        self._bodies: dict[HeldBody, None] = {}  # in the order in which they began
        self._bytes = 0

    @contextmanager
    def hold(self) -> Iterator[HeldBody]:
        """Holds a body while the context lasts; ``add`` of another one may cancel its scope."""
        body = HeldBody()
        self._bodies[body] = None
        try:
            yield body
        finally:
            self._forget(body)

    def add(self, body: HeldBody, chunk: bytes) -> None:
        """Appends what has come, and gives up the oldest bodies until all fit."""
        body.data += chunk
        if body in self._bodies:
            self._bytes += len(chunk)
        while self._bytes > MAX_HELD_BYTES:
            oldest = next(iter(self._bodies))
            oldest.scope.cancel()
            self._forget(oldest)

    def _forget(self, body: HeldBody) -> None:
        if body in self._bodies:
            del self._bodies[body]
            self._bytes -= len(body.data)
