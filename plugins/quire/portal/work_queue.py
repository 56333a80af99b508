"""Limits concurrent work per process and per user, and sets a deadline for each job.

A thread that waits for a database or a store cannot be interrupted. The queue can only ask the thread to stop. It keeps
the thread's slot occupied until the thread has finished, so there are never more threads than slots.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from quire.portal.job_deadline import RETRY_HINT, Deadline, WorkUnavailableError

MAX_SLOTS = 4  # concurrent jobs per process
MAX_SECONDS = 10.0  # from request to response
MAX_WAIT_SECONDS = 2.0  # for a slot
MAX_WAITING = 100  # waiting requests per user

Answer = TypeVar("Answer")


class _Turns:
    """Limits how many jobs of one kind run concurrently per process (slots) and per user (turns).

    Args:
        noun: a job's name in error messages.
        slots: the maximum number of concurrent jobs.
        seconds: the time limit for each job, including its wait for a turn and a slot.
        wait: the maximum number of seconds to wait for a slot.
        per_user: the maximum number of concurrent jobs per user.
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
    """Runs each job in a thread; see ``_Turns`` for the arguments."""

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
        self._unstarted: dict[tuple[str, str], asyncio.Task[Any]] = {}

    async def run_shared(self, user: str, work: Callable[[Deadline], Answer], *, key: str) -> Answer:
        """Like ``run``, but a user's concurrent calls with the same key share a job that has not started yet.

        A job that has started may already have read data, which may have changed since. Later calls do not share it.
        The job continues even if all of its callers have disconnected.

        Args:
            user: the user who requested the job.
            work: computes the result.
            key: identifies the result.

        Raises:
            WorkUnavailableError: see ``run``.
        """

        def start(deadline: Deadline) -> Answer:
            self._unstarted.pop((user, key), None)
            return work(deadline)

        job: asyncio.Task[Answer] | None = self._unstarted.get((user, key))
        if job is None:
            job = asyncio.create_task(self.run(user, start, supersedes=False))
            self._unstarted[user, key] = job
            job.add_done_callback(lambda done: self._forget((user, key), done))
        return await asyncio.shield(job)  # other callers need the result even if this one has disconnected

    def _forget(self, key: tuple[str, str], job: asyncio.Task[Any]) -> None:
        if self._unstarted.get(key) is job:  # it failed before it started
            self._unstarted.pop(key, None)  # its thread may start meanwhile
        if not job.cancelled():
            job.exception()  # so that asyncio does not report an error for which no caller is left

    async def run(self, user: str, work: Callable[[Deadline], Answer], *, supersedes: bool = True) -> Answer:
        """Calls ``work`` in a thread, and returns its result.

        Args:
            user: the user who requested the job; each user's jobs run sequentially.
            work: computes the result.
            supersedes: whether to cancel the user's earlier job instead of waiting for it.

        Raises:
            WorkUnavailableError: all slots are taken, or the job timed out.
            SupersededError: the same user has requested a newer job.
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
            deadline.ensure_newest()  # SupersededError replaces any error that the canceled thread raised
            if not timeout.expired():
                raise
            deadline.cancelled.set()
            raise deadline.timeout_error() from error


class InThread(Protocol):
    """Runs a function in a thread and awaits its result."""

    async def __call__(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """Returns the result of ``work``."""
        ...


class TurnQueue(_Turns):
    """Limits concurrent coroutines, which call blocking functions in the queue's threads.

    Args:
        noun: the name of a coroutine's job in error messages.
        slots: the maximum number of concurrent coroutines.
        threads: the maximum number of concurrent calls across all coroutines.
        seconds: the time limit for each coroutine, including its wait for a turn and a slot.
        wait: the maximum number of seconds to wait for a slot.
        per_user: the maximum number of concurrent coroutines per user.
    """

    def __init__(self, noun: str, *, slots: int, threads: int, seconds: float, wait: float, per_user: int = 1) -> None:
        super().__init__(noun, slots=slots, seconds=seconds, wait=wait, per_user=per_user)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=noun)
        self._leaving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def turn(self, user: str) -> AsyncIterator[InThread]:
        """Holds the user's turn and a slot until the block and its threads have finished.

        Yields a function that calls another function in a thread.

        Raises:
            WorkUnavailableError: all slots are taken, or the block timed out.
        """
        deadline, running = Deadline(self._seconds, self._noun), set[Future[Any]]()

        async def in_thread(work: Callable[..., Answer], *arguments: Any) -> Answer:
            deadline.ensure_time_left()
            future = self._threads.submit(copy_context().run, work, *arguments)
            running.add(future)
            try:
                return await asyncio.wrap_future(future)  # if canceled, a queued function never starts
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
            raise deadline.timeout_error() from error
        finally:
            deadline.cancelled.set()
            self._leave_after(running, turn)

    def _leave_after(self, running: set[Future[Any]], turn: asyncio.Semaphore) -> None:
        """Releases the turn and the slot as soon as no thread is running."""
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
