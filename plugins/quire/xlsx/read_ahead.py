"""Reads a generator's items in advance, on another thread."""

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
    """Provides an iterator over a generator's items, up to ``depth`` of which are read in advance.

    An error in the generator is raised in place of the next item. Exiting the context closes the generator and ends the
    thread.
    """
    arrived: queue.Queue[Any] = queue.Queue(depth)
    is_abandoned = threading.Event()
    thread = threading.Thread(target=_read, args=(items, arrived, is_abandoned), name="read-ahead", daemon=True)
    thread.start()
    try:
        yield _items(arrived)
    finally:
        is_abandoned.set()
        thread.join()


def _read(items: Generator[Any], arrived: queue.Queue[Any], is_abandoned: threading.Event) -> None:
    end: tuple[Any, BaseException | None] = (_END, None)
    try:
        with closing(items):
            for item in items:
                if not _put((item, None), arrived, is_abandoned):
                    return
    except BaseException as error:  # the consumer's thread raises the error again
        end = (_END, error)
    _put(end, arrived, is_abandoned)


def _put(entry: Any, arrived: queue.Queue[Any], is_abandoned: threading.Event) -> bool:
    while not is_abandoned.is_set():
        try:
            arrived.put(entry, timeout=0.2)
        except queue.Full:
            continue
        return True
    return False


def _items(arrived: queue.Queue[Any]) -> Iterator[Any]:
    while True:
        item, error = arrived.get()
        if error is not None:
            raise error
        if item is _END:
            return
        yield item
