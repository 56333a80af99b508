"""Free ports on loopback, the only interface that anything here listens on."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from quire.errors import StackError

LOOPBACK = "127.0.0.1"
SECONDS_TO_ANSWER = 0.5


def free_port(preferred: int | None = None) -> int:
    """Returns a free port: the preferred one where nobody listens there."""
    return free_ports(preferred)[0]


def free_ports(*preferred: int | None) -> list[int]:
    """Returns a free port for each wish, all different: each is held until the last is found.

    Raises:
        StackError: there is none left.
    """
    with ExitStack() as held:
        return [_hold(held, wish) for wish in preferred]


def _hold(held: ExitStack, wish: int | None) -> int:
    if wish and not _answers(wish):
        probe = held.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections just closed do not count
        try:
            probe.bind((LOOPBACK, wish))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise StackError(f"there is no {LOOPBACK} here: {error}") from error
        else:
            return wish
    anywhere = held.enter_context(socket.socket())
    try:
        anywhere.bind((LOOPBACK, 0))
    except OSError as error:
        raise StackError(f"there is no free port on {LOOPBACK}: {error}") from error
    return int(anywhere.getsockname()[1])


def _answers(port: int) -> bool:
    """Whether somebody listens there: macOS lets us bind beside a server that listens on every interface."""
    with socket.socket() as caller:
        caller.settimeout(SECONDS_TO_ANSWER)
        return caller.connect_ex((LOOPBACK, port)) == 0
