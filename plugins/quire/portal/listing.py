"""Lists of runs and single runs, which cost Airflow many calls: few of each user at once, while somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import HTTPException, Request

from quire.object_store import Store
from quire.portal.access import Reading
from quire.portal.runs import MAX_MANIFESTS, RunList, list_runs, show_run
from quire.portal.views import RunDetails
from quire.portal.work_queue import TurnQueue
from quire.records.manifest import Manifest

CLIENT_LEFT = 499  # nobody reads the answer
MAX_LISTS = 8
_LISTS = TurnQueue("list", places=MAX_LISTS, threads=MAX_LISTS * MAX_MANIFESTS, seconds=20.0, wait=10.0)
MAX_RUNS = 8  # each with one thread, and thus one manifest, at a time
MAX_USER_RUNS = 2  # several tabs may follow a run each
_RUNS = TurnQueue("request", places=MAX_RUNS, threads=MAX_RUNS, seconds=20.0, wait=10.0, of_each=MAX_USER_RUNS)

Answer = TypeVar("Answer")


async def list_for(request: Request, reading: Reading, store: Store, base: str, *, limit: int, offset: int) -> RunList:
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


async def run_for(
    request: Request, reading: Reading, run_id: str, store: Store, base: str
) -> tuple[RunDetails, Manifest | None]:
    """Returns one run, and its manifest where it is published, as ``show_run`` does.

    Raises:
        NotFoundError: there is no such run.
        WorkUnavailableError: too many runs are read at once, or it took too long.
    """

    async def in_turn() -> tuple[RunDetails, Manifest | None]:
        caller = reading.caller
        async with _RUNS.turn(caller.user.get_id()) as in_thread:
            return await show_run(
                reading.definition, run_id, api=caller.api, store=store, base=base, in_thread=in_thread
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
