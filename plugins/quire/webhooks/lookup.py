"""What a source's connections say: asked when needed, and again after a while, so that rotation needs no restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from quire.webhooks.signature import parse_secrets

SECONDS_TO_KEEP = 30.0

Found = TypeVar("Found")


class _Kept(Generic[Found]):
    def __init__(self, find: Callable[[str], Found]) -> None:
        self._find = find
        self._found: dict[str, tuple[float, Found]] = {}
        self._finding = threading.Lock()

    def __call__(self, connection_id: str) -> Found:
        with self._finding:
            until, found = self._found.get(connection_id, (0.0, None))
            if found is None or time.monotonic() >= until:
                found = self._find(connection_id)
                self._found[connection_id] = (time.monotonic() + SECONDS_TO_KEEP, found)
            return found


class Lookup:
    """Connections by id.

    Args:
        address: returns the libpq address of one, or raises SettingsError.
        password: returns the password of one, or raises SettingsError.
    """

    def __init__(self, *, address: Callable[[str], str], password: Callable[[str], str | None]) -> None:
        self.address = _Kept(address)
        self.secrets = _Kept(lambda connection: parse_secrets(password(connection), connection=connection))
