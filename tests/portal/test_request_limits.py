"""Over real connections, an oversized request is not buffered and never reaches the app."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from quire.portal.request_limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_QUERY_STRING_BYTES, RequestSizeLimits

from tests.portal.in_process import CLIENT, serve

MEGABYTE = b"x" * 1_000_000
PARSERS = ("h11", "httptools")  # uvicorn's two HTTP parsers


class Echo:
    """An app that responds with the request body's length."""

    def __init__(self) -> None:
        self.bodies: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        self.bodies.append(len(message["body"]))
        assert not message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(len(message["body"])).encode()})


@pytest.fixture(params=PARSERS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, Echo]]:
    """The port and app for a server that uses the middleware, with each of uvicorn's parsers in turn."""
    echo = Echo()
    with serve(RequestSizeLimits(echo), http=request.param) as url:
        yield int(url.rpartition(":")[2]), echo


def exchange(port: int, request: bytes) -> bytes:
    """Sends raw bytes, and returns the response's head and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        return _read_answer(connection)


def _read_answer(connection: socket.socket) -> bytes:
    response = b""
    while b"\r\n\r\n" not in response or b"}" not in response:
        part = connection.recv(65536)
        if not part:
            break
        response += part
    return response


def test_size_limit_forwards_a_body_at_the_limit(server: tuple[int, Echo]) -> None:
    port, echo = server
    response = CLIENT.post(f"http://127.0.0.1:{port}/", content=b"x" * MAX_BODY_BYTES)
    assert (response.status_code, response.text, echo.bodies) == (200, str(MAX_BODY_BYTES), [MAX_BODY_BYTES])


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 5_000_000])
def test_size_limit_rejects_a_body_over_the_limit(server: tuple[int, Echo], size: int) -> None:
    port, echo = server
    response = CLIENT.post(f"http://127.0.0.1:{port}/", content=b"x" * size)
    assert (response.status_code, response.json()) == (413, {"detail": "The body exceeds 64 kB."})
    assert echo.bodies == []


def test_size_limit_rejects_a_chunked_body_over_the_limit(server: tuple[int, Echo]) -> None:
    port, echo = server
    response = CLIENT.post(f"http://127.0.0.1:{port}/", content=iter([MEGABYTE] * 3))
    assert (response.status_code, echo.bodies) == (413, [])


def test_size_limit_rejects_a_wrong_content_length(server: tuple[int, Echo]) -> None:
    port, echo = server
    response = exchange(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n{}")
    assert response.startswith(b"HTTP/1.1 413")
    assert echo.bodies == []


@pytest.mark.parametrize("parser", PARSERS)
def test_size_limit_times_out_on_an_incomplete_body(parser: Any) -> None:
    echo = Echo()
    with serve(RequestSizeLimits(echo, read_seconds=0.1), http=parser) as url:
        port = int(url.rpartition(":")[2])
        response = exchange(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert response.startswith(b"HTTP/1.1 408")
    assert echo.bodies == []


def test_size_limit_rejects_a_query_over_the_limit(server: tuple[int, Echo]) -> None:
    port, echo = server
    response = CLIENT.get(f"http://127.0.0.1:{port}/?{'q' * (MAX_QUERY_STRING_BYTES + 1)}")
    assert (response.status_code, echo.bodies) == (414, [])
    assert CLIENT.get(f"http://127.0.0.1:{port}/?{'q' * 100}").status_code == 200


def test_size_limit_rejects_headers_over_the_limit(server: tuple[int, Echo]) -> None:
    port, echo = server
    headers = {f"X-{number}": "h" * 8000 for number in range(MAX_HEADER_BYTES // 8000 + 1)}
    assert CLIENT.get(f"http://127.0.0.1:{port}/", headers=headers).status_code == 431
    assert echo.bodies == []


def test_size_limit_drops_the_request_of_a_disconnected_client() -> None:
    echo, sent = Echo(), list[Any]()
    messages = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(RequestSizeLimits(echo)(scope, receive, send))
    assert (echo.bodies, sent) == ([], [])


def test_size_limit_error_is_json(server: tuple[int, Echo]) -> None:
    port, _ = server
    response = exchange(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n")
    assert json.loads(response.partition(b"\r\n\r\n")[2])["detail"]
