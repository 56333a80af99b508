"""Finds free ports on loopback, which is the only interface on which the local stack listens."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from quire.errors import StackError

LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT = 0.5


def free_port(preferred: int | None = None) -> int:
    """Returns the preferred port if it is free, otherwise any free port."""
    return free_ports(preferred)[0]


def free_ports(*preferred: int | None) -> list[int]:
    """Returns a distinct free port for each argument. Each port stays reserved until all ports are chosen.

    Raises:
        StackError: no port is free.
    """
    with ExitStack() as sockets:
        return [_reserve(sockets, port) for port in preferred]


def _reserve(sockets: ExitStack, preferred: int | None) -> int:
    if preferred and not _in_use(preferred):
        probe = sockets.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
        try:
            probe.bind((LOOPBACK, preferred))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise StackError(f"cannot bind to {LOOPBACK}: {error}") from error
        else:
            return preferred
    anywhere = sockets.enter_context(socket.socket())
    try:
        anywhere.bind((LOOPBACK, 0))
    except OSError as error:
        raise StackError(f"no port is free on {LOOPBACK}: {error}") from error
    return int(anywhere.getsockname()[1])


def _in_use(port: int) -> bool:
    """Returns whether a server accepts connections on a port.

    Binding the port is not a sufficient test: on macOS, it succeeds even if a server listens on every interface.
    """
    with socket.socket() as caller:
        caller.settimeout(CONNECT_TIMEOUT)
        return caller.connect_ex((LOOPBACK, port)) == 0
