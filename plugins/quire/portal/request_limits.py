"""ASGI middleware that limits the size of a request's body, URL and headers.

FastAPI reads and parses a JSON body before it authenticates the caller. Without this middleware, an anonymous caller
could exhaust memory with a large body.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

from quire.portal.lazy_app import App, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
MAX_QUERY_STRING_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024  # total size of all headers; a session cookie takes 1 to 2 kB
MAX_PATH_BYTES = 2 * 1024
MAX_READ_SECONDS = 15.0


class RequestSizeLimits:
    """Rejects oversized requests, and forwards all other requests with their complete bodies.

    Args:
        app: the app to protect.
        read_seconds: maximum time to receive a body.
    """

    def __init__(self, app: App, *, read_seconds: float = MAX_READ_SECONDS) -> None:
        self._app, self._read_seconds = app, read_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forwards or rejects a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            _ensure_small_head(scope)
            async with asyncio.timeout(self._read_seconds):
                body = await _read_body(receive)
        except _OversizedError as error:
            await _reject(send, error.status, error.message)
        except TimeoutError:
            await _reject(send, 408, f"The body did not arrive within {self._read_seconds:g} seconds.")
        except _DisconnectedError:
            return
        else:
            await self._app(scope, _replay(body, receive), send)


class _OversizedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class _DisconnectedError(Exception):
    """The client disconnected before sending the complete body."""


def _ensure_small_head(scope: Scope) -> None:
    if len(scope.get("raw_path") or scope["path"].encode()) > MAX_PATH_BYTES:
        raise _OversizedError(414, f"The path exceeds {MAX_PATH_BYTES // 1024} kB.")
    if len(scope["query_string"]) > MAX_QUERY_STRING_BYTES:
        raise _OversizedError(414, f"The query string exceeds {MAX_QUERY_STRING_BYTES // 1024} kB.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        raise _OversizedError(431, f"The headers exceed {MAX_HEADER_BYTES // 1024} kB.")
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > MAX_BODY_BYTES):
            raise _oversized_body()


def _oversized_body() -> _OversizedError:
    return _OversizedError(413, f"The body exceeds {MAX_BODY_BYTES // 1024} kB.")


async def _read_body(receive: Receive) -> bytes:
    """Reads a body up to the limit, without relying on its Content-Length header."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _DisconnectedError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _oversized_body()
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns a ``receive`` function that returns the complete body first, then the server's messages."""
    parts = [body]

    async def replay() -> MutableMapping[str, Any]:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await receive()

    return replay


async def _reject(send: Send, status: int, message: str) -> None:
    body = json.dumps({"detail": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
