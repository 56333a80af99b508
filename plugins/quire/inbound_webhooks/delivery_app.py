"""``POST /<webhook>`` accepts deliveries and authenticates them only by their signatures.

The cheapest checks run first: the headers and the time before the body is read, the body's length while it is read, and
the signature before the body is parsed. At most ``DeliveryLimits.concurrent`` deliveries write to PostgreSQL at a time,
each in its own thread; other deliveries wait.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quire.errors import ReportError
from quire.inbound_webhooks.body_memory import MAX_HELD_BYTES, HeldBodies, HeldBody
from quire.inbound_webhooks.connection_cache import ConnectionCache, LookupLimits
from quire.inbound_webhooks.event import Event, read_event
from quire.inbound_webhooks.ingest import DeliveryOutcome, ingest
from quire.inbound_webhooks.rejections import (
    NOT_NOW,
    DeliveryDeferredError,
    DeliveryRejectedError,
    OversizedBodyError,
    SlowBodyError,
)
from quire.inbound_webhooks.signature import SignatureHeaders, parse_signature_headers, verify_signature
from quire.inbound_webhooks.webhook_definition import WebhookDefinition
from quire.inbound_webhooks.webhook_files import WebhookFiles

logger = logging.getLogger(__name__)

RETRY_AFTER = "30"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """The limits for a server process.

    Args:
        concurrent: maximum number of deliveries applied at a time, each over its own PostgreSQL connection.
        read_seconds: maximum time to receive a body.
        wait_seconds: maximum wait for a free connection; senders wait 15 to 30 s for a response.
        held_bytes: maximum memory for bodies with unverified signatures.
        lookups: the connection lookup limits.
    """

    concurrent: int = 8
    read_seconds: float = 15.0
    wait_seconds: float = 10.0
    held_bytes: int = MAX_HELD_BYTES
    lookups: LookupLimits = field(default_factory=LookupLimits)


DEFAULT_LIMITS = DeliveryLimits()


def create_webhook_app(
    include: Path,
    *,
    url: Callable[[str], str],
    password: Callable[[str], str | None],
    limits: DeliveryLimits = DEFAULT_LIMITS,
) -> Starlette:
    """Returns the ASGI app.

    Args:
        include: the folder that contains webhooks/.
        url: returns the libpq URL for a connection ID, or raises SettingsError.
        password: returns the password for a connection ID, or raises SettingsError.
        limits: the limits for this server process.
    """
    connections = ConnectionCache(url=url, password=password, limits=limits.lookups)
    deliveries = _Deliveries(WebhookFiles(include), connections, limits=limits)
    app = Starlette(
        routes=[Route("/{webhook}", deliveries.answer, methods=["POST"])],
        exception_handlers={HTTPException: _answer_http_error, Exception: _answer_http_error},
    )
    app.router.redirect_slashes = False
    return app


async def _answer_http_error(request: Request, error: Exception) -> Response:
    http_error = error if isinstance(error, HTTPException) else HTTPException(500)
    return JSONResponse({"error": http_error.detail}, http_error.status_code, headers=http_error.headers)


class _Deliveries:
    def __init__(self, webhooks: WebhookFiles, connections: ConnectionCache, *, limits: DeliveryLimits) -> None:
        self._webhooks, self._connections, self._limits = webhooks, connections, limits
        self._turns = anyio.Semaphore(limits.concurrent)
        self._threads = anyio.CapacityLimiter(limits.concurrent)
        self._bodies = HeldBodies(max_bytes=limits.held_bytes)
        # Deliveries have their own limiter, because the server's other routes share the default limiter.
        self._readers = anyio.CapacityLimiter(limits.concurrent)

    async def answer(self, request: Request) -> Response:
        """Responds to a delivery; docs/reference/webhook-deliveries.md lists each status."""
        webhook = request.path_params["webhook"]
        try:
            definition = self._webhooks.find(webhook)
            if definition is None:
                return JSONResponse({"error": "no such webhook"}, 404)
            return await self._apply(request, definition)
        except DeliveryRejectedError as rejection:
            return JSONResponse({"error": rejection.message}, rejection.status)
        except DeliveryDeferredError as deferral:
            return JSONResponse({"error": deferral.message}, deferral.status, headers={"Retry-After": RETRY_AFTER})
        except ReportError as error:  # only the operator can fix a definition, connection or table
            logger.warning("%s: deliveries are deferred: %s", webhook, error)
            return JSONResponse({"error": NOT_NOW}, DeliveryDeferredError.status, headers={"Retry-After": RETRY_AFTER})
        except ClientDisconnect:
            return Response(status_code=400)  # the sender has disconnected

    async def _apply(self, request: Request, definition: WebhookDefinition) -> Response:
        signed = parse_signature_headers(request.headers, now=time.time(), tolerance=definition.tolerance)
        event, body = await self._read_event(request, definition, signed)
        url = await self._connections.url(definition.connection)

        def apply() -> DeliveryOutcome:
            return ingest(definition, event, body_sha256=hashlib.sha256(body).digest(), url=url)

        started = time.monotonic()
        async with self._turn():
            outcome = await run_sync(apply, limiter=self._threads)
        logger.info(
            "%s: event %s %s, %s bytes, %.3f s",
            definition.name, signed.event_id, outcome, len(body), time.monotonic() - started,
        )  # fmt: skip
        return JSONResponse({"status": outcome}, 202 if outcome is DeliveryOutcome.KEPT else 200)

    async def _read_event(
        self, request: Request, definition: WebhookDefinition, signed: SignatureHeaders
    ) -> tuple[Event, bytearray]:
        """Returns the verified event and its body."""
        with self._bodies.hold() as body, body.scope:
            await self._receive(request, body, definition.max_bytes)
            secrets = await self._connections.secrets(definition.signing)
            event = await run_sync(
                partial(_verify_event, definition, signed, body.data, secrets=secrets), limiter=self._readers
            )
            return event, body.data
        raise DeliveryDeferredError("too many concurrent deliveries. Retry later")

    async def _receive(self, request: Request, body: HeldBody, limit: int) -> None:
        """Reads a body of at most ``limit`` bytes, without relying on its Content-Length."""
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise OversizedBodyError(f"the body is larger than {limit} bytes")
        try:
            with anyio.fail_after(self._limits.read_seconds):
                async for chunk in request.stream():
                    self._bodies.add(body, chunk)
                    if len(body.data) > limit:
                        raise OversizedBodyError(f"the body is larger than {limit} bytes")
        except TimeoutError as error:
            raise SlowBodyError(f"the body did not arrive within {self._limits.read_seconds:g} s") from error

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            with anyio.fail_after(self._limits.wait_seconds):
                await self._turns.acquire()
        except TimeoutError as error:
            raise DeliveryDeferredError("too many concurrent deliveries. Retry later") from error
        try:
            yield
        finally:
            self._turns.release()


def _verify_event(
    definition: WebhookDefinition, signed: SignatureHeaders, body: bytearray, *, secrets: Sequence[bytes]
) -> Event:
    verify_signature(signed, body, secrets=secrets)
    return read_event(body, event_id=signed.event_id, definition=definition)
