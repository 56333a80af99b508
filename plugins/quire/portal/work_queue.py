"""Work for requests takes turns: a few at once, one or a few of each user, and each within one deadline.

A thread that waits for a database or a store cannot be ended from outside. It is told to leave, and keeps its place
until it has left, so that there are never more of them than places.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from quire.errors import TransientError

MAX_PLACES = 4  # at once, in one process of the API server
MAX_SECONDS = 10.0  # of one piece of work, from its request to its answer
MAX_WAIT_SECONDS = 2.0  # for a place
MAX_WAITING = 100  # requests of one user that wait for their turn

SOON = "try again in some seconds"

Answer = TypeVar("Answer")


class WorkUnavailableError(TransientError):
    """Work took too long, or there was no place for it."""


class SupersededError(Exception):
    """The same user asked for another estimate meanwhile."""


class Deadline:
    """When work must be done; ``cancelled`` is set when nobody waits for it any more.

    ``is_superseded`` says that this is so because the same user requested another one.

    Args:
        seconds: from now.
        noun: what the work is called.
    """

    def __init__(self, seconds: float, noun: str = "estimate") -> None:
        self._ends = time.monotonic() + seconds
        self._noun = noun
        self.cancelled = threading.Event()
        self.is_superseded = False

    @property
    def remaining(self) -> float:
        """Seconds until it ends, at least 0."""
        return max(0.0, self._ends - time.monotonic())

    def ensure_time_left(self) -> None:
        """Checks that somebody still waits for the work.

        Raises:
            WorkUnavailableError: nobody does.
        """
        if self.cancelled.is_set() or not self.remaining:
            raise self.exceeded()

    def exceeded(self) -> WorkUnavailableError:
        """Returns the error of work that took too long."""
        advice = "choose a shorter date range, or try again" if self._noun == "estimate" else "try again"
        return WorkUnavailableError(f"The {self._noun} took too long: {advice}")

    def ensure_newest(self) -> None:
        """Checks that the same user requested no other estimate meanwhile.

        Raises:
            SupersededError: they did.
        """
        if self.is_superseded:
            raise SupersededError("Another estimate was requested meanwhile")


class _Turns:
    """Turns of users, and places, for work of one kind.

    Args:
        noun: what the work is called.
        places: how many at once.
        seconds: of each, waiting included.
        wait: seconds for a place.
        of_each: how many of one user at once.
    """

    def __init__(self, noun: str, *, places: int, seconds: float, wait: float, of_each: int = 1) -> None:
        self._noun, self._seconds, self._wait, self._of_each = noun, seconds, wait, of_each
        self._places = asyncio.Semaphore(places)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._waiting: Counter[str] = Counter()

    async def _enter(self, user: str, deadline: Deadline, *, is_bounded: bool) -> asyncio.Semaphore:
        """Waits for the user's turn, and then for a place."""
        turn = self._turns.setdefault(user, asyncio.Semaphore(self._of_each))
        if is_bounded and self._waiting[user] >= MAX_WAITING:
            raise WorkUnavailableError("Too many of your requests are waiting: try again in some seconds")
        self._waiting[user] += 1
        try:
            await _acquire(turn, deadline.remaining, f"Your last {self._noun} is still running: {SOON}")
        except WorkUnavailableError:
            deadline.ensure_newest()
            raise
        finally:
            self._waiting[user] -= 1
            self._waiting += Counter()  # forgets those whose count is 0
        try:
            deadline.ensure_newest()
            wait = min(self._wait, deadline.remaining)
            await _acquire(self._places, wait, f"Too many {self._noun}s are running: {SOON}")
        except BaseException:
            turn.release()
            raise
        return turn

    def _leave(self, turn: asyncio.Semaphore) -> None:
        turn.release()
        self._places.release()


class WorkQueue(_Turns):
    """Runs each piece of work in a thread; arguments as for ``_Turns``."""

    def __init__(
        self,
        noun: str = "estimate",
        *,
        places: int = MAX_PLACES,
        seconds: float = MAX_SECONDS,
        wait: float = MAX_WAIT_SECONDS,
    ) -> None:
        super().__init__(noun, places=places, seconds=seconds, wait=wait)
        self._threads = ThreadPoolExecutor(places, thread_name_prefix=noun)
        self._latest: WeakValueDictionary[str, Deadline] = WeakValueDictionary()

    async def run(self, user: str, work: Callable[[Deadline], Answer], *, supersedes: bool = True) -> Answer:
        """Returns what ``work`` returns, called in a thread.

        Args:
            user: whose work it is; that of one user runs one after the other.
            work: calculates the answer.
            supersedes: whether the user's earlier work is cancelled, instead of waited for.

        Raises:
            WorkUnavailableError: all places are taken, or it took too long.
            SupersededError: the same user asked for other work meanwhile.
        """
        deadline = Deadline(self._seconds, self._noun)
        if supersedes:
            self._supersede(user, deadline)
        turn = await self._enter(user, deadline, is_bounded=not supersedes)
        return await self._finish(deadline, turn, self._threads.submit(copy_context().run, work, deadline))

    def _supersede(self, user: str, deadline: Deadline) -> None:
        if (earlier := self._latest.get(user)) is not None:
            earlier.is_superseded = True
            earlier.cancelled.set()
        self._latest[user] = deadline

    async def _finish(self, deadline: Deadline, turn: asyncio.Semaphore, running: Future[Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave, turn))
        timeout = asyncio.timeout(deadline.remaining)
        try:
            async with timeout:
                return await asyncio.shield(asyncio.wrap_future(running))
        except asyncio.CancelledError:  # the client left
            deadline.cancelled.set()
            raise
        except Exception as error:
            deadline.ensure_newest()  # whatever its thread raised when it gave up
            if not timeout.expired():
                raise
            deadline.cancelled.set()
            raise deadline.exceeded() from error


class InThread(Protocol):
    """Awaits a function that runs in a thread."""

    async def __call__(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """Returns what ``work`` returns."""
        ...


class TurnQueue(_Turns):
    """Lets coroutines take turns, which do their blocking work in threads of the queue.

    Args:
        noun: what the work is called.
        places: how many at once.
        threads: how many functions run at once, of all places together.
        seconds: of each, waiting included.
        wait: seconds for a place.
        of_each: how many of one user at once.
    """

    def __init__(self, noun: str, *, places: int, threads: int, seconds: float, wait: float, of_each: int = 1) -> None:
        super().__init__(noun, places=places, seconds=seconds, wait=wait, of_each=of_each)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=noun)
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[InThread]:
        """Holds the user's turn and a place until the block and its threads have ended; yields how to start those.

        Raises:
            WorkUnavailableError: all places are taken, or the block took too long.
        """
        deadline, running = Deadline(self._seconds, self._noun), set[Future[Any]]()

        async def in_thread(work: Callable[..., Answer], *arguments: Any) -> Answer:
            deadline.ensure_time_left()
            future = self._threads.submit(copy_context().run, work, *arguments)
            running.add(future)
            try:
                return await asyncio.wrap_future(future)  # if cancelled, cancels what has not begun
            finally:
                if future.done():
                    running.discard(future)

        turn = await self._enter(user, deadline, is_bounded=True)
        timeout = asyncio.timeout(deadline.remaining)
        try:
            async with timeout:
                yield in_thread
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise deadline.exceeded() from error
        finally:
            deadline.cancelled.set()
            self._leave_after(running, turn)

    def _leave_after(self, running: set[Future[Any]], turn: asyncio.Semaphore) -> None:
        """Leaves at once, or when threads that nothing can end from outside have returned."""
        if not running:
            self._leave(turn)
            return

        async def leave() -> None:
            await asyncio.gather(*map(asyncio.wrap_future, running), return_exceptions=True)
            self._leave(turn)

        leaving = asyncio.create_task(leave())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


async def _acquire(what: Any, seconds: float, otherwise: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await what.acquire()
    except TimeoutError as error:
        raise WorkUnavailableError(otherwise) from error
