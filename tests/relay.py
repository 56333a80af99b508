"""Simulates a network that can fail between a real client and a real server."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

FAR = "127.0.0.77"  # a loopback address that no other program uses
RESET = struct.pack("ii", 1, 0)  # the SO_LINGER value that drops unsent data and sends a reset


class Relay:
    """Forwards data between clients and a server until a test interrupts it.

    Args:
        server: the server's address.
        first_ends_after: the number of forwarded bytes after which the relay resets its connections once; None for
            never.
    """

    def __init__(self, server: tuple[str, int], *, first_ends_after: int | None = None) -> None:
        self._server, self._left = server, first_ends_after
        self._going = threading.Event()
        self._going.set()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((FAR, 0))
        self.port = self._listener.getsockname()[1]
        self.sent = self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client = self._listener.accept()[0]
                self.connections += 1
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                threading.Thread(target=self._hand_on, args=[client, server], daemon=True).start()
                threading.Thread(target=self._hand_on, args=[server, client], daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # one end was closed
            while block := source.recv(65_536):
                self._going.wait()
                sink.sendall(block)
                self.sent += len(block)
                if self._left is not None and self.sent > self._left:
                    self._left = None
                    self.reset()
            sink.shutdown(socket.SHUT_WR)

    def pause(self) -> None:
        """Stops forwarding."""
        self._going.clear()

    def reset(self) -> None:
        """Resets every connection, like a firewall that has lost its state."""
        ends, self._sockets = self._sockets, []  # connections from clients that reconnect meanwhile are kept
        for end in ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)
            end.close()

    def close(self) -> None:
        """Closes the relay and its connections."""
        self._listener.close()
        self._going.set()
        for end in self._sockets:
            end.close()
