"""Reading ahead on another thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()


@contextmanager
def read_ahead(items: Generator[Item], *, depth: int) -> Iterator[Iterator[Item]]:
    """Gives the items of an iterator, ``depth`` of them read before they are asked for.

    An error of the iterator is raised where its item would have come. Leaving the context closes the iterator and ends
    the thread.
    """
    arrived: queue.Queue[Any] = queue.Queue(depth)
    given_up = threading.Event()
    thread = threading.Thread(target=_read, args=(items, arrived, given_up), name="read-ahead", daemon=True)
    thread.start()
    try:
        yield _give(arrived)
    finally:
        given_up.set()
        thread.join()


def _read(items: Generator[Any], arrived: queue.Queue[Any], given_up: threading.Event) -> None:
    end: tuple[Any, BaseException | None] = (_END, None)
    try:
        with closing(items):
            for item in items:
                if not _put((item, None), arrived, given_up):
                    return
    except BaseException as error:  # whatever it is: raised again where somebody waits
        end = (_END, error)
    _put(end, arrived, given_up)


def _put(entry: Any, arrived: queue.Queue[Any], given_up: threading.Event) -> bool:
    while not given_up.is_set():
        try:
            arrived.put(entry, timeout=0.2)
        except queue.Full:
            continue
        return True
    return False


def _give(arrived: queue.Queue[Any]) -> Iterator[Any]:
    while True:
        item, error = arrived.get()
        if error is not None:
            raise error
        if item is _END:
            return
        yield item
