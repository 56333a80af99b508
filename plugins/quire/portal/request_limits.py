"""An ASGI layer that bounds a request before anything parses it: its body, its query string and its headers.

FastAPI reads and parses a JSON body before it asks who sent it. Behind this layer, nobody can make it hold more than
``MAX_BODY_BYTES`` of one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

from quire.portal.lazy_app import App, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
MAX_QUERY_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024  # all of them together; a session's cookie has one or two kB
MAX_PATH_BYTES = 2 * 1024
MAX_READ_SECONDS = 15.0


class RequestLimits:
    """Refuses oversized requests, and hands the others on with their whole body.

    Args:
        app: the app behind it.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers an oversized request itself; the body of no other request is longer than ``MAX_BODY_BYTES``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _ensure_small_head(scope)
            async with asyncio.timeout(MAX_READ_SECONDS):
                body = await _read_body(receive)
        except _Oversized as refusal:
            await _refuse(send, refusal.status, refusal.reason)
        except TimeoutError:
            await _refuse(send, 408, f"The body did not arrive within {MAX_READ_SECONDS:g} seconds.")
        except _Disconnected:
            return
        else:
            await self._app(scope, _replay(body, receive), send)


class _Oversized(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class _Disconnected(Exception):
    """The client left before its body was complete."""


def _ensure_small_head(scope: Scope) -> None:
    if len(scope.get("raw_path") or scope["path"].encode()) > MAX_PATH_BYTES:
        raise _Oversized(414, f"The path is longer than {MAX_PATH_BYTES // 1024} kB.")
    if len(scope["query_string"]) > MAX_QUERY_BYTES:
        raise _Oversized(414, f"The query string is longer than {MAX_QUERY_BYTES // 1024} kB.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        raise _Oversized(431, f"The headers are longer than {MAX_HEADER_BYTES // 1024} kB.")
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > MAX_BODY_BYTES):
            raise _oversized_body()


def _oversized_body() -> _Oversized:
    return _Oversized(413, f"The body is longer than {MAX_BODY_BYTES // 1024} kB.")


async def _read_body(receive: Receive) -> bytes:
    """Reads a body, whatever length its headers claim, and stops at the first byte too many."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _Disconnected
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _oversized_body()
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns what gives the whole body once, and then whatever the server gives."""
    parts = [body]

    async def replay() -> MutableMapping[str, Any]:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await receive()

    return replay


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"detail": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
