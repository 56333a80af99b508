"""The work queue has a limited number of slots, gives each user one turn at a time, and enforces deadlines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import pytest
from quire.portal.job_deadline import Deadline, SupersededError, WorkUnavailableError
from quire.portal.work_queue import WorkQueue

LONG = 60.0


def work_until_cancelled(started: threading.Event) -> Callable[[Deadline], str]:
    def work(deadline: Deadline) -> str:
        started.set()
        deadline.cancelled.wait(LONG)
        deadline.ensure_time_left()
        return "done"

    return work


async def wait_for(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.01)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), LONG))


def test_work_queue_without_a_free_slot_raises() -> None:
    async def test() -> None:
        queue, released = WorkQueue(slots=2, seconds=LONG, wait=0.1), threading.Event()
        started = [threading.Event(), threading.Event()]

        def work(number: int) -> Callable[[Deadline], int]:
            def hold(_: Deadline) -> int:
                started[number].set()
                released.wait(LONG)
                return number

            return hold

        tasks = [asyncio.create_task(queue.run(f"user {number}", work(number))) for number in range(2)]
        for event in started:
            await wait_for(event)
        with pytest.raises(WorkUnavailableError, match="Too many estimates"):
            await queue.run("third", lambda _: None)
        released.set()
        assert await asyncio.gather(*tasks) == [0, 1]
        assert await queue.run("third", lambda _: "slot") == "slot"

    run(test)


def test_work_queue_newer_work_supersedes_older_work_of_the_user() -> None:
    async def test() -> None:
        queue, started = WorkQueue(slots=4, seconds=LONG), threading.Event()
        at_once, most = [0], [0]

        def counted(deadline: Deadline) -> str:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            try:
                return work_until_cancelled(started)(deadline)
            finally:
                at_once[0] -= 1

        first = asyncio.create_task(queue.run("ann", counted))
        await wait_for(started)
        others = [asyncio.create_task(queue.run("ann", counted)) for _ in range(10)]
        await asyncio.sleep(0)
        assert await queue.run("ann", lambda _: "newest") == "newest"
        for ended in await asyncio.gather(first, *others, return_exceptions=True):
            assert type(ended) is SupersededError
        assert most == [1]

    run(test)


def test_work_queue_users_do_not_wait_for_each_other() -> None:
    async def test() -> None:
        queue, started = WorkQueue(slots=2, seconds=LONG), threading.Event()
        first = asyncio.create_task(queue.run("ann", work_until_cancelled(started)))
        await wait_for(started)
        assert await queue.run("bob", lambda _: "bob's") == "bob's"
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await queue.run("ann", lambda _: "ann's") == "ann's"

    run(test)


def test_work_queue_work_past_its_deadline_releases_its_slot() -> None:
    async def test() -> None:
        queue, started = WorkQueue(slots=1, seconds=0.3, wait=LONG), threading.Event()
        with pytest.raises(WorkUnavailableError, match="timed out"):
            await queue.run("ann", work_until_cancelled(started))
        assert started.is_set()
        assert await queue.run("bob", lambda _: "slot") == "slot"

    run(test)


def test_work_queue_thread_that_does_not_stop_holds_its_slot() -> None:
    async def test() -> None:
        queue, released = WorkQueue(slots=1, seconds=0.2, wait=0.1), threading.Event()
        with pytest.raises(WorkUnavailableError, match="timed out"):
            await queue.run("ann", lambda _: released.wait(LONG))
        with pytest.raises(WorkUnavailableError, match="still running"):
            await queue.run("ann", lambda _: None)
        with pytest.raises(WorkUnavailableError, match="Too many"):
            await queue.run("bob", lambda _: None)
        released.set()

    run(test)


def test_work_queue_waiting_work_can_be_superseded() -> None:
    async def test() -> None:
        queue, released = WorkQueue(slots=1, seconds=0.2, wait=0.1), threading.Event()
        hung = asyncio.create_task(queue.run("ann", lambda _: released.wait(LONG)))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(queue.run("ann", lambda _: None))
        await asyncio.sleep(0)
        newest = asyncio.create_task(queue.run("ann", lambda _: None))
        ended = await asyncio.gather(hung, waiting, newest, return_exceptions=True)
        assert [type(error) for error in ended] == [SupersededError, SupersededError, WorkUnavailableError]
        released.set()

    run(test)


def test_work_queue_without_superseding_work_waits_its_turn() -> None:
    async def test() -> None:
        queue, started, released = WorkQueue(slots=2, seconds=LONG), threading.Event(), threading.Event()

        def hold(deadline: Deadline) -> bool:
            started.set()
            released.wait(LONG)
            return deadline.cancelled.is_set()

        first = asyncio.create_task(queue.run("ann", hold, supersedes=False))
        await wait_for(started)
        second = asyncio.create_task(queue.run("ann", lambda _: "second", supersedes=False))
        await asyncio.sleep(0)
        released.set()
        assert not await first
        assert await second == "second"

    run(test)


def test_work_queue_shares_jobs_that_have_not_started() -> None:
    async def test() -> None:
        queue, released, started = WorkQueue(slots=2, seconds=LONG), threading.Event(), threading.Event()
        numbers = count(1)

        def work(_: Deadline) -> int:
            number = next(numbers)
            started.set()
            released.wait(LONG)
            return number

        first = asyncio.create_task(queue.run_shared("ann", work, key="key"))
        await wait_for(started)
        # the first job may have read its data before these calls
        others = [asyncio.create_task(queue.run_shared("ann", work, key="key")) for _ in range(50)]
        another = asyncio.create_task(queue.run_shared("ben", work, key="key"))  # in another user's turn
        await asyncio.sleep(0)
        others[0].cancel()  # its client has disconnected
        released.set()
        assert await first == 1
        assert len(set(await asyncio.gather(*others[1:]))) == 1
        assert {await another, await others[1]} == {2, 3}
        assert await queue.run_shared("ann", work, key="key") == 4

    run(test)


def test_work_queue_shared_job_that_fails_is_not_shared_later() -> None:
    async def test() -> None:
        queue = WorkQueue(slots=1, seconds=LONG, wait=0.1)

        def fail(_: Deadline) -> str:
            raise WorkUnavailableError("the database is down")

        with pytest.raises(WorkUnavailableError, match="is down"):
            await queue.run_shared("ann", fail, key="key")
        started, released = threading.Event(), threading.Event()

        def hold(_: Deadline) -> bool:
            started.set()
            return released.wait(LONG)

        busy = asyncio.create_task(queue.run("ben", hold))
        await wait_for(started)
        with pytest.raises(WorkUnavailableError, match="Too many estimates"):  # it never started
            await queue.run_shared("ann", lambda _: "late", key="key")
        released.set()
        await busy
        assert await queue.run_shared("ann", lambda _: "done", key="key") == "done"

    run(test)
