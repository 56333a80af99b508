"""Estimates take turns: a few at once, one of each user, and each within one deadline.

A thread that waits for a database or a store cannot be ended from outside. It is told to leave, and keeps its place
until it has left, so that there are never more of them than places.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from quire.errors import TransientError

MAX_ESTIMATES = 4  # at once, in one process of the API server
MAX_SECONDS = 10.0  # of one estimate, from its request to its answer
MAX_WAIT_SECONDS = 2.0  # for a place

Answer = TypeVar("Answer")


class EstimateUnavailableError(TransientError):
    """An estimate took too long, or there was no place for it."""


class SupersededError(Exception):
    """The same user asked for another estimate meanwhile."""


class Deadline:
    """When an estimate must be done; ``cancelled`` is set when nobody waits for it any more.

    ``is_superseded`` says that this is so because the same user requested another one.
    """

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self.cancelled = threading.Event()
        self.is_superseded = False

    @property
    def remaining(self) -> float:
        """Seconds until it ends, at least 0."""
        return max(0.0, self._ends - time.monotonic())

    def ensure_time_left(self) -> None:
        """Checks that somebody still waits for the estimate.

        Raises:
            EstimateUnavailableError: nobody does.
        """
        if self.cancelled.is_set() or not self.remaining:
            raise EstimateUnavailableError("The estimate took too long: choose a shorter date range, or try again")

    def ensure_newest(self) -> None:
        """Checks that the same user requested no other estimate meanwhile.

        Raises:
            SupersededError: they did.
        """
        if self.is_superseded:
            raise SupersededError("Another estimate was requested meanwhile")


class EstimateQueue:
    """Runs estimates in threads of its own.

    Args:
        places: how many at once.
        seconds: of each, waiting included.
        wait: seconds for a place.
    """

    def __init__(
        self, *, places: int = MAX_ESTIMATES, seconds: float = MAX_SECONDS, wait: float = MAX_WAIT_SECONDS
    ) -> None:
        self._seconds, self._wait = seconds, wait
        self._places = asyncio.Semaphore(places)
        self._threads = ThreadPoolExecutor(places, thread_name_prefix="estimate")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._latest: WeakValueDictionary[str, Deadline] = WeakValueDictionary()

    async def run(self, user: str, work: Callable[[Deadline], Answer], *, supersedes: bool = True) -> Answer:
        """Returns what ``work`` returns, called in a thread.

        Args:
            user: whose estimate it is; estimates of one user run one after the other.
            work: calculates the estimate.
            supersedes: whether the user's earlier estimate is cancelled, instead of waited for.

        Raises:
            EstimateUnavailableError: all places are taken, or it took too long.
            SupersededError: the same user asked for another one meanwhile.
        """
        deadline = Deadline(self._seconds)
        turn = self._turns.setdefault(user, asyncio.Lock())
        if supersedes:
            self._supersede(user, deadline)
        try:
            await _acquire(turn, deadline.remaining, "Your last estimate is still running: try again in some seconds")
        except EstimateUnavailableError:
            deadline.ensure_newest()
            raise
        try:
            deadline.ensure_newest()
            wait = min(self._wait, deadline.remaining)
            await _acquire(self._places, wait, "Too many estimates are running: try again in some seconds")
        except BaseException:
            turn.release()
            raise
        return await self._finish(deadline, turn, self._threads.submit(copy_context().run, work, deadline))

    def _supersede(self, user: str, deadline: Deadline) -> None:
        if (earlier := self._latest.get(user)) is not None:
            earlier.is_superseded = True
            earlier.cancelled.set()
        self._latest[user] = deadline

    async def _finish(self, deadline: Deadline, turn: asyncio.Lock, running: Future[Answer]) -> Answer:
        loop = asyncio.get_running_loop()

        def leave() -> None:
            turn.release()
            self._places.release()

        running.add_done_callback(lambda _: loop.call_soon_threadsafe(leave))
        try:
            async with asyncio.timeout(deadline.remaining):
                return await asyncio.shield(asyncio.wrap_future(running))
        except asyncio.CancelledError:  # the client left
            deadline.cancelled.set()
            raise
        except Exception as error:
            deadline.ensure_newest()  # whatever its thread raised when it gave up
            if isinstance(error, TimeoutError):
                deadline.cancelled.set()
                deadline.ensure_time_left()
            raise


async def _acquire(what: Any, seconds: float, otherwise: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await what.acquire()
    except TimeoutError as error:
        raise EstimateUnavailableError(otherwise) from error
