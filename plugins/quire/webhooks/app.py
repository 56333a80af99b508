"""POST /<source>: deliveries, and nothing else. The signature is the only authentication.

What costs least comes first: headers and time before the body is read, its length while it is read, the signature
before it is parsed. Some deliveries at once speak to PostgreSQL, each in a thread; the others wait for their turn.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quire.errors import ReportError
from quire.webhooks.body_memory import HeldBodies, HeldBody
from quire.webhooks.connections import Lookup
from quire.webhooks.definition import WebhookDefinition
from quire.webhooks.event import Event, read_event
from quire.webhooks.ingest import Outcome, ingest
from quire.webhooks.rejections import NOT_NOW, DeliveryDeferred, DeliveryRefused, OversizedBody, SlowBody
from quire.webhooks.signature import Signed, read_headers, verify_signature
from quire.webhooks.sources import Sources

logger = logging.getLogger(__name__)

AT_ONCE = 8  # connections of a server process to PostgreSQL
SECONDS_TO_READ = 15.0
SECONDS_TO_WAIT = 10.0  # for one's turn: senders wait for 15 to 30
RETRY_AFTER = "30"


def create_app(include: Path, *, address: Callable[[str], str], password: Callable[[str], str | None]) -> Starlette:
    """Returns the ASGI app.

    Args:
        include: the folder that holds webhooks/.
        address: returns the libpq address of a connection by its id, or raises SettingsError.
        password: returns the password of a connection by its id, or raises SettingsError.
    """
    deliveries = _Deliveries(Sources(include), Lookup(address=address, password=password))
    app = Starlette(
        routes=[Route("/{source}", deliveries.answer, methods=["POST"])],
        exception_handlers={HTTPException: _tell_status, Exception: _tell_status},
    )
    app.router.redirect_slashes = False
    return app


async def _tell_status(request: Request, error: Exception) -> Response:
    told = error if isinstance(error, HTTPException) else HTTPException(500)
    return JSONResponse({"error": told.detail}, told.status_code, headers=told.headers)


class _Deliveries:
    def __init__(self, sources: Sources, lookup: Lookup) -> None:
        self._sources, self._lookup = sources, lookup
        self._turns = anyio.Semaphore(AT_ONCE)
        self._threads = anyio.CapacityLimiter(AT_ONCE)
        self._bodies = HeldBodies()
        self._readers = anyio.CapacityLimiter(AT_ONCE)  # of its own: the server's other routes must not wait for it

    async def answer(self, request: Request) -> Response:
        """Answers a delivery; each status is told in docs/how-to/receive-webhooks.md."""
        source = request.path_params["source"]
        try:
            definition = self._sources.find(source)
            if definition is None:
                return JSONResponse({"error": "there is no such source"}, 404)
            return await self._take(request, definition)
        except DeliveryRefused as refusal:
            return JSONResponse({"error": refusal.message}, refusal.status)
        except DeliveryDeferred as deferral:
            return JSONResponse({"error": deferral.message}, deferral.status, headers={"Retry-After": RETRY_AFTER})
        except ReportError as error:  # ours to mend: a definition, a connection, a table
            logger.warning("deliveries for %s are deferred: %s", source, error)
            return JSONResponse({"error": NOT_NOW}, DeliveryDeferred.status, headers={"Retry-After": RETRY_AFTER})
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it

    async def _take(self, request: Request, definition: WebhookDefinition) -> Response:
        signed = read_headers(request.headers, now=time.time(), tolerance=definition.tolerance)
        event, body = await self._read_event(request, definition, signed)
        url = await self._lookup.address(definition.connection)

        def take() -> Outcome:
            return ingest(definition, event, body_sha256=hashlib.sha256(body).digest(), url=url)

        started = time.monotonic()
        async with self._turn():
            outcome = await run_sync(take, limiter=self._threads)
        logger.info(
            "%s: event %s is %s, %s bytes, %.3f s",
            definition.name, signed.event_id, outcome, len(body), time.monotonic() - started,
        )  # fmt: skip
        return JSONResponse({"status": outcome}, 202 if outcome is Outcome.KEPT else 200)

    async def _read_event(
        self, request: Request, definition: WebhookDefinition, signed: Signed
    ) -> tuple[Event, bytearray]:
        """Returns a verified event, and its body."""
        with self._bodies.hold() as body, body.scope:
            await self._receive(request, body, definition.max_bytes)
            secrets = await self._lookup.secrets(definition.signing)
            event = await run_sync(_verified_event, definition, signed, body.data, secrets, limiter=self._readers)
            return event, body.data
        raise DeliveryDeferred("too many deliveries at once: deliver again later")

    async def _receive(self, request: Request, body: HeldBody, limit: int) -> None:
        """Reads no more than ``limit`` bytes, whatever the headers say."""
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise OversizedBody(f"the body has more than {limit} bytes")
        try:
            with anyio.fail_after(SECONDS_TO_READ):
                async for chunk in request.stream():
                    self._bodies.add(body, chunk)
                    if len(body.data) > limit:
                        raise OversizedBody(f"the body has more than {limit} bytes")
        except TimeoutError as error:
            raise SlowBody(f"the body did not come within {SECONDS_TO_READ:g} s") from error

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            with anyio.fail_after(SECONDS_TO_WAIT):
                await self._turns.acquire()
        except TimeoutError as error:
            raise DeliveryDeferred("too many deliveries at once: deliver again later") from error
        try:
            yield
        finally:
            self._turns.release()


def _verified_event(definition: WebhookDefinition, signed: Signed, body: bytearray, secrets: Sequence[bytes]) -> Event:
    verify_signature(signed, body, secrets=secrets)
    return read_event(body, event_id=signed.event_id, definition=definition)
