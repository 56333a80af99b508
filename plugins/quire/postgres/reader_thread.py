"""A thread that reads from the server, whose caller can leave at any time.

PostgreSQL's client waits in C, where neither Ctrl-C nor a timeout of Airflow's reaches it: so it waits in a thread of
its own, and the caller looks now and then whether to go on.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

ITEMS_WAITING = 1
CANCEL_SECONDS = 0.2
SILENT_SECONDS = 15  # a busy server may be as late with the word that a statement took too long
Item = TypeVar("Item")
Give = Callable[[Item], None]
_END = object()


class SilenceError(Exception):
    """Nothing has arrived for longer than the server may take."""


def read_in_thread(
    work: Callable[[Give[Item]], None],
    *,
    hang_up: Callable[[], None],
    cancelled: threading.Event,
    seconds: float | None = None,
) -> Generator[Item]:
    """Gives what ``work`` gives, which runs in a thread; ``ITEMS_WAITING`` of it at most wait to be taken.

    When the generator ends, however it does, the thread has ended.

    Args:
        work: is called with a function that it gives each item to. What it raises is raised here.
        hang_up: ends whatever ``work`` waits for, at once and for good.
        cancelled: whether to leave; looked at every ``CANCEL_SECONDS``.
        seconds: after which the server ends the work by itself; unlimited by default.

    Raises:
        CancelledError: ``cancelled`` was set.
        SilenceError: ``seconds`` are over, and nothing has arrived for ``SILENT_SECONDS``.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    arrived: queue.Queue[Any] = queue.Queue(ITEMS_WAITING)
    given_up = threading.Event()
    thread = threading.Thread(target=_work, args=(work, arrived, given_up), name="postgresql", daemon=True)
    has_ended = False
    try:
        thread.start()
        while not has_ended:
            item = _next(arrived, cancelled, deadline)
            has_ended = item is _END or isinstance(item, BaseException)  # nothing comes after
            if isinstance(item, BaseException):
                raise item
            if not has_ended:
                yield item
    finally:
        given_up.set()
        try:
            if not has_ended:
                hang_up()
        finally:
            while thread.is_alive():
                _empty(arrived)  # it may wait until there is room
                thread.join(0.1)


def _work(work: Callable[[Give[Any]], None], arrived: queue.Queue[Any], given_up: threading.Event) -> None:
    def give(item: Any) -> None:
        if not given_up.is_set():
            arrived.put(item)

    try:
        work(give)
        give(_END)
    except BaseException as error:  # whatever it is: raised again where somebody waits
        give(error)


def _next(arrived: queue.Queue[Any], cancelled: threading.Event, deadline: float | None) -> Any:
    latest = None if deadline is None else max(deadline, time.monotonic()) + SILENT_SECONDS
    while not cancelled.is_set():
        try:
            return arrived.get(timeout=CANCEL_SECONDS)
        except queue.Empty:
            if latest is not None and time.monotonic() > latest:
                raise SilenceError from None
    raise CancelledError


def _empty(arrived: queue.Queue[Any]) -> None:
    try:
        while True:
            arrived.get_nowait()
    except queue.Empty:
        return
