"""Streams zip downloads, limits how many run concurrently, and ends a download if the reader is too slow."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
from fastapi.responses import StreamingResponse

from quire.portal.job_deadline import RETRY_HINT, WorkUnavailableError
from quire.portal.lazy_app import Receive, Scope, Send
from quire.portal.run_requests import QuotaError

logger = logging.getLogger(__name__)

MAX_TRANSFERS = 8  # per process; each transfer holds a connection to the store
MAX_USER_TRANSFERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPace:
    """A download's minimum speed.

    Args:
        idle_seconds: the maximum time that the reader may take to receive the next 64 kB.
        min_seconds: the minimum time limit for a download, regardless of its size.
        min_bytes_per_second: the speed that determines how much the time limit grows with the download's size.
    """

    idle_seconds: float = 60.0
    min_seconds: float = 600.0
    min_bytes_per_second: float = 64 * 1024

    def max_seconds(self, size: int) -> float:
        """Returns the time limit in seconds for a download of ``size`` bytes."""
        return self.min_seconds + size / self.min_bytes_per_second


class Transfers:
    """Limits a process's concurrent transfers.

    Args:
        slots: the maximum number of concurrent transfers.
        per_user: the maximum number of concurrent transfers per user.
        pace: each transfer's minimum speed.
    """

    def __init__(
        self,
        slots: int = MAX_TRANSFERS,
        per_user: int = MAX_USER_TRANSFERS,
        *,
        pace: TransferPace = TransferPace(),
    ) -> None:
        self.pace = pace
        self._slots, self._per_user = slots, per_user
        self._active: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, user: str) -> TransferSlot:
        """Returns a slot for one of the user's transfers; the caller must release the slot.

        Raises:
            QuotaError: the user has reached the maximum number of concurrent transfers.
            WorkUnavailableError: all slots are taken.
        """
        with self._lock:
            if self._active[user] >= self._per_user:
                raise QuotaError(
                    f"You are already downloading {self._per_user} zips. Try again when one of them has finished."
                )
            if self._active.total() >= self._slots:
                raise WorkUnavailableError(f"Too many zips are being downloaded. {RETRY_HINT}")
            self._active[user] += 1
        return TransferSlot(self, user)

    def _end(self, user: str) -> None:
        with self._lock:
            self._active[user] -= 1
            self._active += Counter()  # removes users with a count of 0


class TransferSlot:
    """The slot that a transfer occupies until it ends."""

    def __init__(self, transfers: Transfers, user: str) -> None:
        self.pace = transfers.pace
        self._transfers, self._user, self._is_held = transfers, user, True

    def release(self) -> None:
        """Releases the slot; later calls have no effect."""
        if self._is_held:
            self._is_held = False
            self._transfers._end(self._user)


class Transfer(StreamingResponse):
    """Streams a download, and ends it if the reader is too slow.

    Args:
        content: a generator that yields the bytes; the transfer closes the generator at the end.
        slot: the transfer's slot, which the transfer releases at the end.
        size: the total number of bytes.
        media_type: the response's media type.
        headers: the response's headers.
    """

    def __init__(
        self,
        content: Generator[bytes],
        *,
        slot: TransferSlot,
        size: int,
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(content, media_type=media_type, headers={**headers, "Content-Length": str(size)})
        self._content, self._slot = content, slot
        self._seconds = slot.pace.max_seconds(size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response.

        Raises:
            TimeoutError: the reader was too slow, so the connection is closed before all bytes are sent.
        """

        async def send_with_timeout(message: MutableMapping[str, Any]) -> None:
            with anyio.fail_after(self._slot.pace.idle_seconds):
                await send(message)

        try:
            # Unlike asyncio's timeout, AnyIO's timeout waits for the thread that reads the next bytes.
            with anyio.fail_after(self._seconds):
                await super().__call__(scope, receive, send_with_timeout)
        except TimeoutError:
            logger.warning("%s: download ended because the reader was too slow", scope["path"])
            raise
        finally:
            self._slot.release()
            with suppress(ValueError):  # if a thread is still reading the content, the garbage collector closes it
                self._content.close()
