"""Caches connection URLs and secrets for 30 s, so that they can be rotated without a restart."""

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

from quire.inbound_webhooks.rejections import NOT_NOW, DeliveryDeferredError
from quire.inbound_webhooks.signature import parse_secrets

logger = logging.getLogger(__name__)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupLimits:
    """Limits on connection lookups.

    Args:
        cache_seconds: how long a value is cached.
        max_seconds: maximum wait for a lookup; senders wait 15 to 30 s for a response.
        retry_seconds: after this time, a lookup counts as hung and another lookup starts; doubles with each hung
            lookup.
        max_threads: maximum number of threads per connection, including hung threads, because a thread cannot be
            killed.
    """

    cache_seconds: float = 30.0
    max_seconds: float = 10.0
    retry_seconds: float = 120.0
    max_threads: int = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Running(Generic[Value]):
    """A running lookup, and the time after which another lookup replaces it."""

    retry_at: float
    future: Future[Value] = field(default_factory=Future)


class _LookupCache(Generic[Value]):
    """Values by connection ID. Each lookup runs in its own thread.

    If the secrets backend hangs, only that lookup's thread is blocked. The event loop's thread pool and lookups for
    other connections are not affected. After a few minutes, another lookup replaces the hung lookup.
    """

    def __init__(self, find: Callable[[str], Value], limits: LookupLimits) -> None:
        self._find, self._limits = find, limits
        self._values: dict[str, tuple[float, Value]] = {}
        self._running: dict[str, _Running[Value]] = {}
        self._threads: Counter[str] = Counter()
        self._guard = threading.Lock()

    async def __call__(self, connection_id: str) -> Value:
        """Returns the cached value for a connection, or looks it up.

        Raises:
            DeliveryDeferredError: the lookup took too long.
            SettingsError: the connection is missing or invalid.
        """
        answer, seconds = asyncio.wrap_future(self._future(connection_id)), self._limits.max_seconds
        try:
            return await asyncio.wait_for(asyncio.shield(answer), seconds)
        except TimeoutError as error:
            logger.warning("connection %s: lookup did not finish within %s s", connection_id, seconds)
            raise DeliveryDeferredError(NOT_NOW) from error

    def _future(self, connection_id: str) -> Future[Value]:
        with self._guard:
            if (cached := self._values.get(connection_id)) and time.monotonic() < cached[0]:
                answered = Future[Value]()
                answered.set_result(cached[1])
                return answered
            running = self._running.get(connection_id)
            is_free = self._threads[connection_id] < self._limits.max_threads
            if running is None or (time.monotonic() >= running.retry_at and is_free):
                running = self._start(connection_id)
            return running.future

    def _start(self, connection_id: str) -> _Running[Value]:
        wait = self._limits.retry_seconds * 2 ** self._threads[connection_id]
        running: _Running[Value] = _Running(retry_at=time.monotonic() + wait)
        threading.Thread(target=self._look_up, args=(connection_id, running), daemon=True).start()
        self._threads[connection_id] += 1
        self._running[connection_id] = running
        return running

    def _look_up(self, connection_id: str, running: _Running[Value]) -> None:
        try:
            value = self._find(connection_id)
        except BaseException as error:  # awaiting the future raises the error again
            with self._guard:
                self._end(connection_id, running)
            running.future.set_exception(error)
        else:
            with self._guard:
                if self._end(connection_id, running):
                    self._values[connection_id] = (time.monotonic() + self._limits.cache_seconds, value)
            running.future.set_result(value)

    def _end(self, connection_id: str, running: _Running[Value]) -> bool:
        """Records that a lookup's thread has ended. Returns whether the lookup is still current."""
        self._threads[connection_id] -= 1
        is_current = self._running.get(connection_id) is running
        if is_current:
            del self._running[connection_id]
        return is_current


class ConnectionCache:
    """Connection URLs and signing secrets, by connection ID.

    Args:
        url: returns a connection's libpq URL, or raises SettingsError.
        password: returns a connection's password, or raises SettingsError.
        limits: the lookup limits.
    """

    def __init__(
        self, *, url: Callable[[str], str], password: Callable[[str], str | None], limits: LookupLimits
    ) -> None:
        self.url = _LookupCache(url, limits)
        self.secrets = _LookupCache(
            lambda connection: parse_secrets(password(connection), connection=connection), limits
        )
