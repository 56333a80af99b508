"""Reads from the server in a thread, which the caller can end at any time.

While libpq blocks in C code, neither Ctrl-C nor an Airflow timeout can interrupt it. The caller therefore checks at
short intervals whether the thread has produced an item.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from quire.errors import SourceUnavailableError

ITEMS_WAITING = 1
CANCEL_SECONDS = 0.2
SILENT_SECONDS = 15  # a busy server may report a statement timeout this late
Item = TypeVar("Item")
Emit = Callable[[Item], None]
_END = object()


class SilenceError(SourceUnavailableError):
    """The server sent nothing, not even the error for its statement timeout."""


def read_in_thread(
    work: Callable[[Emit[Item]], None],
    *,
    hang_up: Callable[[], None],
    cancelled: threading.Event,
    seconds: float | None = None,
    silent_seconds: float = SILENT_SECONDS,
) -> Generator[Item]:
    """Calls ``work`` in a thread, and yields the items that it emits; buffers at most ``ITEMS_WAITING`` items.

    The thread always ends before the generator ends, even if the work fails or is canceled.

    Args:
        work: receives a function, which it must call with each item; an exception in ``work`` is raised in the caller.
        hang_up: makes ``work`` stop waiting, immediately and permanently.
        cancelled: ends the work when it is set; checked every ``CANCEL_SECONDS``.
        seconds: the server's own timeout for the work; unlimited by default.
        silent_seconds: how long the server may remain silent after its timeout.

    Raises:
        CancelledError: ``cancelled`` was set.
        SilenceError: after ``seconds`` had passed, the server sent nothing for another ``silent_seconds``.
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
                _empty(items)  # the thread may be waiting for space in the queue
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
                raise SilenceError("PostgreSQL stopped responding") from None
    raise CancelledError


def _empty(items: queue.Queue[Any]) -> None:
    try:
        while True:
            items.get_nowait()
    except queue.Empty:
        return
