"""Queues that limit concurrent work per process and per user, and give each piece of work a deadline.

A thread that waits for a database or a store cannot be stopped from outside. The queue signals the thread to stop, and
keeps its slot occupied until it returns, so there are never more threads than slots.
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

MAX_SLOTS = 4  # concurrent pieces of work per process
MAX_SECONDS = 10.0  # from request to response
MAX_WAIT_SECONDS = 2.0  # for a slot
MAX_WAITING = 100  # waiting requests per user

RETRY_HINT = "Try again in a few seconds."

Answer = TypeVar("Answer")


class WorkUnavailableError(TransientError):
    """The work timed out, or all slots are taken."""


class SupersededError(Exception):
    """The same user requested another estimate in the meantime."""


class Deadline:
    """The deadline of a piece of work.

    ``cancelled`` is set when no caller waits for the result any more. ``is_superseded`` is set as well if the reason is
    that the same user requested newer work.

    Args:
        seconds: time until the deadline.
        noun: what error messages call the work.
    """

    def __init__(self, seconds: float, noun: str = "estimate") -> None:
        self._end = time.monotonic() + seconds
        self._noun = noun
        self.cancelled = threading.Event()
        self.is_superseded = False

    @property
    def remaining(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    def ensure_time_left(self) -> None:
        """Checks that a caller is still waiting for the result.

        Raises:
            WorkUnavailableError: the deadline has passed, or the work was canceled.
        """
        if self.cancelled.is_set() or not self.remaining:
            raise self.exceeded()

    def exceeded(self) -> WorkUnavailableError:
        """Returns the error for work that timed out."""
        advice = "Choose a shorter date range, or try again." if self._noun == "estimate" else "Try again."
        return WorkUnavailableError(f"The {self._noun} timed out. {advice}")

    def ensure_newest(self) -> None:
        """Checks that the same user has not requested a newer estimate.

        Raises:
            SupersededError: a newer estimate was requested.
        """
        if self.is_superseded:
            raise SupersededError("A newer estimate has replaced this one.")


class _Turns:
    """Limits one kind of work: slots per process, and turns per user.

    Args:
        noun: what error messages call the work.
        slots: maximum concurrent pieces of work.
        seconds: time limit of each piece of work, including waiting.
        wait: maximum seconds to wait for a slot.
        per_user: maximum concurrent pieces of work per user.
    """

    def __init__(self, noun: str, *, slots: int, seconds: float, wait: float, per_user: int = 1) -> None:
        self._noun, self._seconds, self._wait, self._per_user = noun, seconds, wait, per_user
        self._slots = asyncio.Semaphore(slots)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._waiting: Counter[str] = Counter()

    async def _enter(self, user: str, deadline: Deadline, *, is_bounded: bool) -> asyncio.Semaphore:
        """Waits for the user's turn, then for a slot."""
        turn = self._turns.setdefault(user, asyncio.Semaphore(self._per_user))
        if is_bounded and self._waiting[user] >= MAX_WAITING:
            raise WorkUnavailableError(f"Too many of your requests are waiting. {RETRY_HINT}")
        self._waiting[user] += 1
        try:
            await _acquire(turn, deadline.remaining, f"Your previous {self._noun} is still running. {RETRY_HINT}")
        except WorkUnavailableError:
            deadline.ensure_newest()
            raise
        finally:
            self._waiting[user] -= 1
            self._waiting += Counter()  # removes users with a count of 0
        try:
            deadline.ensure_newest()
            wait = min(self._wait, deadline.remaining)
            await _acquire(self._slots, wait, f"Too many {_plural(self._noun)} are running. {RETRY_HINT}")
        except BaseException:
            turn.release()
            raise
        return turn

    def _leave(self, turn: asyncio.Semaphore) -> None:
        turn.release()
        self._slots.release()


class WorkQueue(_Turns):
    """Runs each piece of work in a thread; see ``_Turns`` for the arguments."""

    def __init__(
        self,
        noun: str = "estimate",
        *,
        slots: int = MAX_SLOTS,
        seconds: float = MAX_SECONDS,
        wait: float = MAX_WAIT_SECONDS,
    ) -> None:
        super().__init__(noun, slots=slots, seconds=seconds, wait=wait)
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix=noun)
        self._latest: WeakValueDictionary[str, Deadline] = WeakValueDictionary()

    async def run(self, user: str, work: Callable[[Deadline], Answer], *, supersedes: bool = True) -> Answer:
        """Returns the result of ``work``, called in a thread.

        Args:
            user: the user who requested the work; each user's work runs sequentially.
            work: computes the result.
            supersedes: whether to cancel the user's earlier work instead of waiting for it.

        Raises:
            WorkUnavailableError: all slots are taken, or the work timed out.
            SupersededError: the same user requested newer work.
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
        except asyncio.CancelledError:  # the client disconnected
            deadline.cancelled.set()
            raise
        except Exception as error:
            deadline.ensure_newest()  # regardless of the error that the canceled thread raised
            if not timeout.expired():
                raise
            deadline.cancelled.set()
            raise deadline.exceeded() from error


class InThread(Protocol):
    """Runs a function in a thread and awaits its result."""

    async def __call__(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """Returns the result of ``work``."""
        ...


class TurnQueue(_Turns):
    """Gives turns to coroutines, which run their blocking functions in threads of the queue.

    Args:
        noun: what error messages call the work.
        slots: maximum concurrent coroutines.
        threads: maximum concurrent functions across all coroutines.
        seconds: time limit of each coroutine, including waiting.
        wait: maximum seconds to wait for a slot.
        per_user: maximum concurrent coroutines per user.
    """

    def __init__(self, noun: str, *, slots: int, threads: int, seconds: float, wait: float, per_user: int = 1) -> None:
        super().__init__(noun, slots=slots, seconds=seconds, wait=wait, per_user=per_user)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=noun)
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[InThread]:
        """Holds the user's turn and a slot until the block and its threads have finished; yields ``in_thread``.

        Raises:
            WorkUnavailableError: all slots are taken, or the block timed out.
        """
        deadline, running = Deadline(self._seconds, self._noun), set[Future[Any]]()

        async def in_thread(work: Callable[..., Answer], *arguments: Any) -> Answer:
            deadline.ensure_time_left()
            future = self._threads.submit(copy_context().run, work, *arguments)
            running.add(future)
            try:
                return await asyncio.wrap_future(future)  # cancellation also prevents a function from starting
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
        """Releases the slot now, or once all running threads have returned."""
        if not running:
            self._leave(turn)
            return

        async def leave() -> None:
            await asyncio.gather(*map(asyncio.wrap_future, running), return_exceptions=True)
            self._leave(turn)

        leaving = asyncio.create_task(leave())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


async def _acquire(semaphore: asyncio.Semaphore, seconds: float, message: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await semaphore.acquire()
    except TimeoutError as error:
        raise WorkUnavailableError(message) from error


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
