"""A loopback proxy in front of PostgreSQL that injects a fault into one of the server's messages.

Messages are numbered consecutively across all of a command's connections, which are opened one after another.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.faults.s3_proxy import RESET, SeenRequest

SLOW_SECONDS = 0.5


class CutError(Exception):
    """A fault closed the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A server message in transit, to be handled by a fault."""

    proxy: PostgresProxy
    client: socket.socket
    server: socket.socket
    message: bytes

    def reset(self) -> None:
        """Resets both connections. The message is lost."""
        for end in (self.client, self.server):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        raise CutError

    def truncate(self) -> None:
        """Sends half of the message, and then closes the connection normally."""
        self.client.sendall(self.message[: len(self.message) // 2])
        raise CutError

    def fall_silent(self) -> None:
        """Sends nothing more, and keeps the connection open."""
        self.proxy.released.wait()
        raise CutError

    def slow_down(self) -> None:
        """Sends half of the message, and the other half after a delay."""
        half = len(self.message) // 2
        self.client.sendall(self.message[:half])
        time.sleep(SLOW_SECONDS)
        self.client.sendall(self.message[half:])

    def pass_on(self) -> None:
        """Sends the message."""
        self.client.sendall(self.message)


class PostgresProxy:
    """Forwards everything except one server message, which ``inject`` handles.

    Neither the client nor the server may use TLS, because the proxy parses the messages.

    Args:
        server: the server's address.
        target: the name of the message to handle, if any.
        inject: a function that handles the message and injects a fault.

    Attributes:
        seen: the messages in order of arrival.
        met: an event that is set when the target arrives.
        released: an event that faults can wait for; set by the end of the case at the latest.
        kill: a function that kills the client process.
    """

    def __init__(
        self, server: tuple[str, int], *, target: str | None = None, inject: Callable[[Delivery], None] | None = None
    ) -> None:
        self._server, self._target, self._inject = server, target, inject
        self.seen: list[SeenRequest] = []
        self.met, self.released = threading.Event(), threading.Event()
        self.kill: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> PostgresProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        with suppress(OSError):
            # otherwise, a thread that is blocked in accept keeps the socket open
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._server)
                threading.Thread(target=self._pass_requests, args=[client, server], daemon=True).start()
                threading.Thread(target=self._pass_answers, args=[client, server], daemon=True).start()

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while block := client.recv(65_536):
                server.sendall(block)
            server.shutdown(socket.SHUT_WR)

    def _pass_answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError, CutError), server.makefile("rb") as stream:
            while head := stream.read(5):  # the message's type and its length, including the length itself
                (size,) = struct.unpack("!I", head[1:])
                message = head + stream.read(size - 4)
                self._pass_message(Delivery(proxy=self, client=client, server=server, message=message))
        for end in (client, server):  # wakes up the other thread, which is waiting for data
            with suppress(OSError):
                lingers = end.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER)
                end.shutdown(socket.SHUT_RD if lingers else socket.SHUT_RDWR)
            end.close()

    def _pass_message(self, delivery: Delivery) -> None:
        with self._lock:
            name = f"message {len(self.seen) + 1:03d} {delivery.message[:1].decode()}"
            self.seen.append(SeenRequest(name, 0, len(delivery.message)))
        if self._inject and name == self._target:
            self.met.set()
            self._inject(delivery)
        else:
            delivery.pass_on()
