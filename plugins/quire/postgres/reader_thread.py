"""Reads from the server in a thread, which the caller can abandon at any time.

libpq blocks in C code, which neither Ctrl-C nor an Airflow timeout interrupts. The caller therefore waits for the
thread in short intervals.
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
SILENT_SECONDS = 15  # how late a busy server may report a statement timeout
Item = TypeVar("Item")
Emit = Callable[[Item], None]
_END = object()


class SilenceError(Exception):
    """The server sent nothing, not even the error for its statement timeout."""


def read_in_thread(
    work: Callable[[Emit[Item]], None],
    *,
    hang_up: Callable[[], None],
    cancelled: threading.Event,
    seconds: float | None = None,
    silent_seconds: float = SILENT_SECONDS,
) -> Generator[Item]:
    """Yields the items that ``work`` emits in a thread. Buffers at most ``ITEMS_WAITING`` items.

    The thread always ends before the generator does, even if reading fails or is canceled.

    Args:
        work: receives a function to call with each item. Its exceptions are raised here.
        hang_up: immediately and permanently ends whatever ``work`` is waiting for.
        cancelled: stops reading when set; checked every ``CANCEL_SECONDS``.
        seconds: the server's own timeout for the work; unlimited by default.
        silent_seconds: how long the server may stay silent after its timeout.

    Raises:
        CancelledError: ``cancelled`` was set.
        SilenceError: ``seconds`` have passed, and nothing arrived for another ``silent_seconds``.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    items: queue.Queue[Any] = queue.Queue(ITEMS_WAITING)
    abandoned = threading.Event()
    thread = threading.Thread(target=_work, args=(work, items, abandoned), name="postgresql", daemon=True)
    has_ended = False
    try:
        thread.start()
        while not has_ended:
            item = _next(items, cancelled, deadline, silent_seconds=silent_seconds)
            has_ended = item is _END or isinstance(item, BaseException)  # the last item
            if isinstance(item, BaseException):
                raise item
            if not has_ended:
                yield item
    finally:
        abandoned.set()
        try:
            if not has_ended:
                hang_up()
        finally:
            while thread.is_alive():
                _empty(items)  # unblocks a thread that is waiting for space in the queue
                thread.join(0.1)


def _work(work: Callable[[Emit[Any]], None], items: queue.Queue[Any], abandoned: threading.Event) -> None:
    def emit(item: Any) -> None:
        if not abandoned.is_set():
            items.put(item)

    try:
        work(emit)
        emit(_END)
    except BaseException as error:  # raised again in the caller
        emit(error)


def _next(items: queue.Queue[Any], cancelled: threading.Event, deadline: float | None, *, silent_seconds: float) -> Any:
    latest = None if deadline is None else max(deadline, time.monotonic()) + silent_seconds
    while not cancelled.is_set():
        try:
            return items.get(timeout=CANCEL_SECONDS)
        except queue.Empty:
            if latest is not None and time.monotonic() > latest:
                raise SilenceError from None
    raise CancelledError


def _empty(items: queue.Queue[Any]) -> None:
    try:
        while True:
            items.get_nowait()
    except queue.Empty:
        return
