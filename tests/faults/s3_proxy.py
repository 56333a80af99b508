"""A loopback proxy in front of an S3 server that injects a fault into exactly one request.

A request is identified by its method, key and turn, because several requests are in progress at once and their order
differs between runs.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from quire.dev_stack.ports import LOOPBACK, free_port

from tests.faults.http_messages import Message, read_request, read_response

RESET = struct.pack("ii", 1, 0)  # the SO_LINGER value that resets a connection instead of closing it normally
BACKLOG = 64
_RANDOM = re.compile(r"[0-9a-f]{12,}")
# The query parameters that belong to a request's name.
_QUERY = ("uploads", "partNumber", "delete", "prefix", "delimiter")


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request's name within a run, and the sizes of the request and response bodies."""

    name: str
    sent: int
    received: int


class HangUpError(Exception):
    """A fault closed the client's connection."""


class Exchange:
    """A request in progress, to be handled by a fault."""

    def __init__(self, proxy: S3Proxy, client: socket.socket, request: Message, server: _Server) -> None:
        self.proxy, self.client, self.request, self._server = proxy, client, request, server
        self.method = request.first_line.split()[0]

    def forward(self, body: bytes | None = None) -> Message:
        """Forwards the request, with ``body`` instead of its own body if given, and returns the server's response."""
        request = self.request
        if body is not None:
            request = Message(request.first_line, request.headers, body)
        return self._server.ask(request, self.method)

    def answer(self, response: Message) -> None:
        """Sends a response to the client."""
        self.client.sendall(response.to_bytes())

    def reset(self) -> None:
        """Resets the client's connection."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        raise HangUpError

    def hang_up(self) -> None:
        """Closes the client's connection normally."""
        raise HangUpError


class _Server:
    """The proxy's connection to the server on behalf of one client."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address)
        self._stream = cast(BinaryIO, self._socket.makefile("rb"))

    def ask(self, request: Message, method: str) -> Message:
        self._socket.sendall(request.to_bytes())
        return read_response(self._stream, method=method)

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def request_name(request: Message) -> str:
    """Returns a name that identifies a request in every run: its method, key, and upload part or listing.

    Digests and random numbers are replaced with ``*``.
    """
    method, target, _ = request.first_line.split(" ")
    parts = urlsplit(target)
    _, _, key = unquote(parts.path).lstrip("/").partition("/")
    query = [f"{name}={value}" for name, value in parse_qsl(parts.query, keep_blank_values=True) if name in _QUERY]
    return _RANDOM.sub("*", " ".join([method, key or "(bucket)", *query]))


class S3Proxy:
    """Forwards all requests to a server except one, which ``inject`` handles.

    Args:
        server: the server's address.
        target: the name of the request to handle, if any; a name without a turn selects every turn.
        inject: a function that handles the request and injects a fault.

    Attributes:
        seen: the requests, in order of response.
        met: an event that is set when the target arrives.
        released: an event that faults can wait for.
        kill: a function that kills the client process; set by the test.
    """

    def __init__(
        self, server: tuple[str, int], *, target: str | None = None, inject: Callable[[Exchange], None] | None = None
    ) -> None:
        self._server, self._target, self._inject = server, target, inject
        self.seen: list[SeenRequest] = []
        self.met, self.released = threading.Event(), threading.Event()
        self.kill: Callable[[], None] = lambda: None
        self._turns = Counter[str]()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server((LOOPBACK, free_port()), backlog=BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> S3Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        with suppress(OSError):
            # otherwise, a thread that is blocked in accept keeps the socket open
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for client in self._sockets:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def refuse_connections(self, seconds: float) -> None:
        """Refuses all new connections for a few seconds."""
        self._listener.shutdown(socket.SHUT_RDWR)  # the proxy keeps the port, because the client already uses it

        def listen_again() -> None:
            with suppress(OSError):  # the case has already ended
                self._listener.listen(BACKLOG)
                self._accept()

        timer = threading.Timer(seconds, listen_again)
        timer.daemon = True
        timer.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client = self._listener.accept()[0]
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets.add(client)
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = _Server(self._server)
        try:
            with suppress(OSError, HangUpError), client.makefile("rwb") as stream:
                while request := read_request(cast(BinaryIO, stream), reply_to_expect=cast(BinaryIO, stream)):
                    self._exchange(Exchange(self, client, request, server))
        finally:
            with self._lock:
                self._sockets.discard(client)
            client.close()
            server.close()

    def _exchange(self, exchange: Exchange) -> None:
        name = self._number(exchange.request)
        if self._inject and self._target in (name, name.rpartition(" #")[0]):
            self.met.set()
            self._inject(exchange)
            return
        response = exchange.forward()
        self.seen.append(SeenRequest(name, len(exchange.request.body), len(response.body)))
        exchange.answer(response)

    def _number(self, request: Message) -> str:
        name = request_name(request)
        with self._lock:
            self._turns[name] += 1
            return f"{name} #{self._turns[name]}"
