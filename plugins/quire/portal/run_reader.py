"""Limits concurrent reads of run lists and run pages per user and process, as both call Airflow's API often."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import HTTPException, Request

from quire.object_store import Store
from quire.portal.access import ReportAccess
from quire.portal.runs import MAX_MANIFESTS, RunList, list_runs, show_run
from quire.portal.views import RunDetails
from quire.portal.work_queue import TurnQueue
from quire.run_records.manifest import Manifest

CLIENT_DISCONNECTED = 499  # the client has disconnected, so nothing reads this response
MAX_LISTS = 8
_LISTS = TurnQueue("list", slots=MAX_LISTS, threads=MAX_LISTS * MAX_MANIFESTS, seconds=20.0, wait=10.0)
MAX_RUNS = 8  # each uses one thread at a time, and so holds one manifest
MAX_USER_RUNS = 2  # a user may watch runs in several tabs
_RUNS = TurnQueue("request", slots=MAX_RUNS, threads=MAX_RUNS, seconds=20.0, wait=10.0, per_user=MAX_USER_RUNS)

Answer = TypeVar("Answer")


async def read_run_list(
    request: Request, access: ReportAccess, store: Store, base: str, *, limit: int, offset: int
) -> RunList:
    """Returns one page of a report's runs (see ``list_runs``).

    Raises:
        WorkUnavailableError: too many lists are being read, or this call timed out.
    """

    async def in_turn() -> RunList:
        async with _LISTS.turn(access.caller.user.get_id()) as in_thread:
            return await list_runs(
                access.definition,
                caller=access.caller,
                store=store,
                base=base,
                limit=limit,
                offset=offset,
                in_thread=in_thread,
            )

    return await _run_while_connected(request, in_turn())


async def read_run(
    request: Request, access: ReportAccess, run_id: str, store: Store, base: str
) -> tuple[RunDetails, Manifest | None]:
    """Returns a run, and its manifest if it is published (see ``show_run``).

    Raises:
        NotFoundError: the run does not exist.
        WorkUnavailableError: too many runs are being read, or this call timed out.
    """

    async def in_turn() -> tuple[RunDetails, Manifest | None]:
        caller = access.caller
        async with _RUNS.turn(caller.user.get_id()) as in_thread:
            return await show_run(
                access.definition, run_id, api=caller.api, store=store, base=base, in_thread=in_thread
            )

    return await _run_while_connected(request, in_turn())


async def _run_while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Returns the result of ``work``, and cancels it if the client disconnects."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_wait_for_disconnect(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(CLIENT_DISCONNECTED, "The client disconnected.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
