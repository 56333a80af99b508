"""Reads run lists and single runs through queues, because both make many calls to Airflow's API."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, HTTPException, Request

from quire.object_store import Store
from quire.portal.access import ReportAccess
from quire.portal.dependencies import BaseDep, ResourcesDep, StoreDep
from quire.portal.resources import PortalResources
from quire.portal.run_source import RunSource
from quire.portal.runs import RunList, list_runs, show_run
from quire.portal.views import RunDetails
from quire.portal.work_queue import InThread
from quire.record_types.manifest import Manifest

CLIENT_DISCONNECTED = 499  # nobody reads this response, because the client has disconnected

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReader:
    """Reads runs for a request. Stops if the client disconnects.

    Args:
        request: the request.
        resources: the app's queues and caches.
        store: the store that holds the manifests.
        base: Airflow's URL path prefix.
    """

    request: Request
    resources: PortalResources
    store: Store
    base: str

    async def read_list(self, access: ReportAccess, *, limit: int, offset: int) -> RunList:
        """Returns a page of a report's runs (see ``list_runs``).

        Raises:
            WorkUnavailableError: too many lists are being read, or this call timed out.
        """

        async def in_turn() -> RunList:
            async with self.resources.run_lists.turn(access.caller.user.get_id()) as in_thread:
                source = self._source(in_thread)
                return await list_runs(
                    access.definition, caller=access.caller, source=source, base=self.base, limit=limit, offset=offset
                )

        return await _run_while_connected(self.request, in_turn())

    async def read_run(self, access: ReportAccess, run_id: str) -> tuple[RunDetails, Manifest | None]:
        """Returns a run, and its manifest if the run is published (see ``show_run``).

        Raises:
            NotFoundError: the run does not exist.
            WorkUnavailableError: too many runs are being read, or this call timed out.
        """

        async def in_turn() -> tuple[RunDetails, Manifest | None]:
            caller = access.caller
            async with self.resources.single_runs.turn(caller.user.get_id()) as in_thread:
                source = self._source(in_thread)
                return await show_run(access.definition, run_id, api=caller.api, source=source, base=self.base)

        return await _run_while_connected(self.request, in_turn())

    def _source(self, in_thread: InThread) -> RunSource:
        return RunSource(
            store=self.store,
            manifests=self.resources.manifests,
            command_line=self.resources.command_line_runs,
            outcomes=self.resources.outcomes,
            in_thread=in_thread,
        )


def _run_reader(request: Request, resources: ResourcesDep, store: StoreDep, *, base: BaseDep) -> RunReader:
    return RunReader(request=request, resources=resources, store=store, base=base)


RunReaderDep = Annotated[RunReader, Depends(_run_reader)]


async def _run_while_connected(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Awaits ``work`` and returns its result. Cancels ``work`` if the client disconnects."""
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
