"""Coroutines take turns; a thread cannot be stopped, so it holds its coroutine's turn and slot until it returns."""

from __future__ import annotations

import asyncio
import threading

import pytest
from quire.portal.job_deadline import WorkUnavailableError
from quire.portal.work_queue import TurnQueue

from tests.portal.test_work_queue import LONG, run, wait_for


def queue_of(*, slots: int = 1, threads: int = 4, seconds: float = 0.2) -> TurnQueue:
    return TurnQueue("list", slots=slots, threads=threads, seconds=seconds, wait=0.1)


def test_turn_past_its_deadline_is_held_while_a_thread_runs() -> None:
    async def test() -> None:
        queue, released = queue_of(slots=2), threading.Event()
        with pytest.raises(WorkUnavailableError, match="timed out"):
            async with queue.turn("ann") as in_thread:
                await in_thread(released.wait, LONG)
        with pytest.raises(WorkUnavailableError, match="still running"):
            async with queue.turn("ann"):
                pass
        async with queue.turn("bob"):
            pass
        released.set()
        await enter(queue, "ann")

    run(test)


def test_turn_that_was_cancelled_holds_its_slot_while_a_thread_runs() -> None:
    async def test() -> None:
        queue, started, released = queue_of(seconds=LONG), threading.Event(), threading.Event()

        def hang() -> None:
            started.set()
            released.wait(LONG)

        async def work() -> None:
            async with queue.turn("ann") as in_thread:
                await in_thread(hang)

        working = asyncio.create_task(work())
        await wait_for(started)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        with pytest.raises(WorkUnavailableError, match="Too many lists"):
            async with queue.turn("bob"):
                pass
        released.set()
        await enter(queue, "bob")

    run(test)


def test_turn_that_was_cancelled_drops_work_that_has_not_started() -> None:
    async def test() -> None:
        queue, released = queue_of(slots=2, threads=1), threading.Event()
        begun: list[str] = []
        with pytest.raises(WorkUnavailableError, match="timed out"):
            async with queue.turn("ann") as in_thread:
                await asyncio.gather(in_thread(released.wait, LONG), in_thread(begun.append, "second"))
        released.set()
        await enter(queue, "ann")
        assert begun == []

    run(test)


def test_turn_propagates_a_timeout_of_the_work_itself() -> None:
    async def test() -> None:
        queue = queue_of(seconds=LONG)
        with pytest.raises(TimeoutError, match="its own"):
            async with queue.turn("ann"):
                raise TimeoutError("its own")
        await enter(queue, "ann")

    run(test)


def test_in_thread_after_the_turn_raises() -> None:
    async def test() -> None:
        queue = queue_of(seconds=LONG)
        async with queue.turn("ann") as in_thread:
            assert await in_thread(str, 1) == "1"
        with pytest.raises(WorkUnavailableError):
            await in_thread(str, 2)

    run(test)


async def enter(queue: TurnQueue, user: str) -> None:
    """Takes a turn as soon as the turn and a slot are free."""
    while True:
        try:
            async with queue.turn(user):
                return
        except WorkUnavailableError:
            await asyncio.sleep(0.01)
