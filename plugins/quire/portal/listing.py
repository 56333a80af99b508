"""Lists of runs, which cost Airflow many calls: one of each user at a time, within a deadline, while somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import HTTPException, Request

from quire.object_store import ObjectStore
from quire.portal.access import Reading
from quire.portal.runs import MAX_MANIFESTS, RunList, list_runs
from quire.portal.work_queue import TurnQueue

CLIENT_LEFT = 499  # nobody reads the answer
MAX_LISTS = 8
_LISTS = TurnQueue("list", places=MAX_LISTS, threads=MAX_LISTS * MAX_MANIFESTS, seconds=20.0, wait=10.0)

Answer = TypeVar("Answer")


async def list_for(
    request: Request, reading: Reading, store: ObjectStore, base: str, *, limit: int, offset: int
) -> RunList:
    """Returns one page of a report's runs, as ``list_runs`` does.

    Raises:
        WorkUnavailableError: too many lists are read at once, or it took too long.
    """

    async def in_turn() -> RunList:
        async with _LISTS.turn(reading.caller.user.get_id()) as in_thread:
            return await list_runs(
                reading.definition,
                caller=reading.caller,
                store=store,
                base=base,
                limit=limit,
                offset=offset,
                in_thread=in_thread,
            )

    return await _while_connected(request, in_turn())


async def _while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Returns what ``work`` returns; cancels it where the client leaves before."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(CLIENT_LEFT, "The client left.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
