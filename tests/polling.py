"""Waits until a condition holds, instead of sleeping for a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

SECONDS = 60.0


def wait_until(condition: Callable[[], object], *, seconds: float = SECONDS) -> None:
    """Returns once the condition holds.

    Raises:
        TimeoutError: the condition did not hold within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not hold within {seconds:g} s")
        time.sleep(0.02)


async def until(condition: Callable[[], object], *, seconds: float = SECONDS) -> None:
    """Returns once the condition holds, while other tasks run.

    Raises:
        TimeoutError: the condition did not hold within ``seconds``.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
