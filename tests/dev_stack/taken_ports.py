"""Occupies a local stack's default ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from quire.dev_stack.stack import DEFAULT_PORTS


@contextmanager
def default_ports_taken() -> Iterator[None]:
    """Listens on every default port that is not in use by another process."""
    with ExitStack() as sockets:
        for port in DEFAULT_PORTS.values():
            listener = sockets.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
                listener.listen()
            except OSError:
                continue
        yield
