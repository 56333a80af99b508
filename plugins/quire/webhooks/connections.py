"""What a source's connections say: asked when needed, and again after a while, so that rotation needs no restart."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from quire.webhooks.rejections import NOT_NOW, DeliveryDeferred
from quire.webhooks.signature import parse_secrets

logger = logging.getLogger(__name__)

SECONDS_TO_KEEP = 30.0
MAX_LOOKUP_SECONDS = 10.0  # senders wait for 15 to 30
SECONDS_TO_RETRY = 120.0  # after which a lookup counts as hung, and a new one begins; twice as long after each
MAX_THREADS = 8  # of one connection, hung ones included: a thread cannot be ended

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Running(Generic[Found]):
    """A lookup in a thread, and when another one is to take its place."""

    retry_at: float
    future: Future[Found] = field(default_factory=Future)


class _Kept(Generic[Found]):
    """Answers by connection. Each is looked up in a thread of its own.

    A secrets backend that hangs for one connection holds that thread and no other: neither the event loop's pool nor
    the lookups of other sources wait for it. A lookup that hangs for minutes is given up for a new one.
    """

    def __init__(self, find: Callable[[str], Found]) -> None:
        self._find = find
        self._found: dict[str, tuple[float, Found]] = {}
        self._running: dict[str, _Running[Found]] = {}
        self._threads: Counter[str] = Counter()
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
            if running is None or (time.monotonic() >= running.retry_at and self._threads[connection_id] < MAX_THREADS):
                running = self._start(connection_id)
            return running.future

    def _start(self, connection_id: str) -> _Running[Found]:
        wait = SECONDS_TO_RETRY * 2 ** self._threads[connection_id]
        running: _Running[Found] = _Running(retry_at=time.monotonic() + wait)
        threading.Thread(target=self._look_up, args=(connection_id, running), daemon=True).start()
        self._threads[connection_id] += 1
        self._running[connection_id] = running
        return running

    def _look_up(self, connection_id: str, running: _Running[Found]) -> None:
        try:
            found = self._find(connection_id)
        except BaseException as error:  # whoever waits for it raises it
            with self._guard:
                self._end(connection_id, running)
            running.future.set_exception(error)
        else:
            with self._guard:
                if self._end(connection_id, running):
                    self._found[connection_id] = (time.monotonic() + SECONDS_TO_KEEP, found)
            running.future.set_result(found)

    def _end(self, connection_id: str, running: _Running[Found]) -> bool:
        """Notes that a thread has ended; returns whether its answer is the newest, and not one that was given up."""
        self._threads[connection_id] -= 1
        is_newest = self._running.get(connection_id) is running
        if is_newest:
            del self._running[connection_id]
        return is_newest


class Lookup:
    """Connections by id.

    Args:
        address: returns the libpq address of one, or raises SettingsError.
        password: returns the password of one, or raises SettingsError.
    """

    def __init__(self, *, address: Callable[[str], str], password: Callable[[str], str | None]) -> None:
        self.address = _Kept(address)
        self.secrets = _Kept(lambda connection: parse_secrets(password(connection), connection=connection))
