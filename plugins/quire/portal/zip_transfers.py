"""Zips on their way to readers: few at once, and none to a reader who does not take it."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import anyio
from fastapi.responses import StreamingResponse

from quire.portal.lazy_app import Receive, Scope, Send
from quire.portal.run_requests import QuotaError
from quire.portal.work_queue import SOON, WorkUnavailableError

logger = logging.getLogger(__name__)

MAX_TRANSFERS = 8  # at once, in one process of the API server: each holds a connection to the store
MAX_USER_TRANSFERS = 2
MAX_IDLE_SECONDS = 60.0  # until the reader has taken the next 64 kB
MIN_TRANSFER_SECONDS = 600.0  # that every reader has
MIN_BYTES_PER_SECOND = 64 * 1024  # of a whole transfer, beyond those seconds


class Transfers:
    """The transfers of one process.

    Args:
        places: how many at once.
        of_each: how many of one user.
    """

    def __init__(self, places: int = MAX_TRANSFERS, of_each: int = MAX_USER_TRANSFERS) -> None:
        self._places, self._of_each = places, of_each
        self._active: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, user: str) -> Place:
        """Returns a place for one transfer of a user, who has to release it.

        Raises:
            QuotaError: the user has as many transfers as one may have.
            WorkUnavailableError: all places are taken.
        """
        with self._lock:
            if self._active[user] >= self._of_each:
                raise QuotaError(f"You are downloading {self._of_each} zips already. Try again when one is complete.")
            if self._active.total() >= self._places:
                raise WorkUnavailableError(f"Too many zips are being downloaded: {SOON}")
            self._active[user] += 1
        return Place(self, user)

    def _end(self, user: str) -> None:
        with self._lock:
            self._active[user] -= 1
            self._active += Counter()  # forgets those whose count is 0


class Place:
    """One transfer's place among ``Transfers``."""

    def __init__(self, transfers: Transfers, user: str) -> None:
        self._transfers, self._user, self._is_held = transfers, user, True

    def release(self) -> None:
        """Gives the place to another transfer; once."""
        if self._is_held:
            self._is_held = False
            self._transfers._end(self._user)


class Transfer(StreamingResponse):
    """Sends bytes that are read while they are sent, and ends where the reader takes none or too few of them.

    Args:
        content: gives the bytes; closed at the end, however the transfer ends.
        place: released at the end.
        size: of all bytes together.
        media_type: of the bytes.
        headers: of the answer.
    """

    def __init__(
        self,
        content: Generator[bytes],
        *,
        place: Place,
        size: int,
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(content, media_type=media_type, headers={**headers, "Content-Length": str(size)})
        self._content, self._place = content, place
        self._seconds = MIN_TRANSFER_SECONDS + size / MIN_BYTES_PER_SECOND

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the answer.

        Raises:
            TimeoutError: the reader was too slow; the connection ends before all bytes are sent.
        """

        async def send_soon(message: MutableMapping[str, Any]) -> None:
            with anyio.fail_after(MAX_IDLE_SECONDS):
                await send(message)

        try:
            # unlike asyncio's timeout, waits for the thread that reads the next bytes
            with anyio.fail_after(self._seconds):
                await super().__call__(scope, receive, send_soon)
        except TimeoutError:
            logger.warning("%s: the reader was too slow: the download was ended", scope["path"])
            raise
        finally:
            self._place.release()
            with suppress(ValueError):  # a thread still reads; what it reads is closed when nobody refers to it
                self._content.close()
