"""What a source's connections say: asked when needed, and again after a while, so that rotation needs no restart."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from quire.webhooks.refusals import NOT_NOW, DeliveryDeferred
from quire.webhooks.signature import parse_secrets

logger = logging.getLogger(__name__)

SECONDS_TO_KEEP = 30.0
MAX_LOOKUP_SECONDS = 10.0  # senders wait for 15 to 30

Found = TypeVar("Found")


class _Kept(Generic[Found]):
    """Answers by connection. Each is looked up in a thread of its own, at most one a connection.

    A secrets backend that hangs for one connection holds that thread and no other: neither the event loop's pool nor
    the lookups of other sources wait for it.
    """

    def __init__(self, find: Callable[[str], Found]) -> None:
        self._find = find
        self._found: dict[str, tuple[float, Found]] = {}
        self._running: dict[str, Future[Found]] = {}
        self._guard = threading.Lock()

    async def __call__(self, connection_id: str) -> Found:
        """Returns the answer for a connection.

        Raises:
            DeliveryDeferred: it did not come in time.
            SettingsError: the connection is not set, or not as it must be.
        """
        answer = asyncio.wrap_future(self._future(connection_id))
        try:
            return await asyncio.wait_for(asyncio.shield(answer), MAX_LOOKUP_SECONDS)
        except TimeoutError as error:
            logger.warning("the connection %s is still being looked up after %s s", connection_id, MAX_LOOKUP_SECONDS)
            raise DeliveryDeferred(NOT_NOW) from error

    def _future(self, connection_id: str) -> Future[Found]:
        with self._guard:
            if (kept := self._found.get(connection_id)) and time.monotonic() < kept[0]:
                answered = Future[Found]()
                answered.set_result(kept[1])
                return answered
            running = self._running.get(connection_id)
            if running is None:
                running = self._running[connection_id] = Future()
                threading.Thread(target=self._look_up, args=(connection_id, running), daemon=True).start()
            return running

    def _look_up(self, connection_id: str, future: Future[Found]) -> None:
        try:
            found = self._find(connection_id)
        except BaseException as error:  # whoever waits for it raises it
            with self._guard:
                del self._running[connection_id]
            future.set_exception(error)
        else:
            with self._guard:
                self._found[connection_id] = (time.monotonic() + SECONDS_TO_KEEP, found)
                del self._running[connection_id]
            future.set_result(found)


class Lookup:
    """Connections by id.

    Args:
        address: returns the libpq address of one, or raises SettingsError.
        password: returns the password of one, or raises SettingsError.
    """

    def __init__(self, *, address: Callable[[str], str], password: Callable[[str], str | None]) -> None:
        self.address = _Kept(address)
        self.secrets = _Kept(lambda connection: parse_secrets(password(connection), connection=connection))
