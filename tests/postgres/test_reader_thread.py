"""The reader thread ends when its consumer stops for any reason, and never blocks the consumer."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from concurrent.futures import CancelledError
from contextlib import closing
from functools import partial

import pytest
from quire.postgres.reader_thread import ITEMS_WAITING, Emit, SilenceError, read_in_thread

from tests.polling import wait_until


class Line:
    """A stand-in for a connection that stays silent until it is closed."""

    def __init__(self) -> None:
        self.hung_up, self.cancelled = threading.Event(), threading.Event()

    def read(self, items: int, *, then_wait: bool = False) -> Generator[int]:
        def work(emit: Emit[int]) -> None:
            for number in range(items):
                emit(number)
            if then_wait:
                assert self.hung_up.wait(60)
                raise ConnectionError("hung up")

        return read_in_thread(work, hang_up=self.hung_up.set, cancelled=self.cancelled)


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "postgresql"]


def test_reader_yields_items_in_order_without_hanging_up() -> None:
    line = Line()
    assert list(line.read(1000)) == list(range(1000))
    assert not line.hung_up.is_set()
    assert readers() == []


@pytest.mark.parametrize("count", [0, 1, 10])
@pytest.mark.parametrize("then_wait", [False, True], ids=["sending", "silent"])
def test_reader_closed_early_ends_immediately(count: int, then_wait: bool) -> None:
    line = Line()
    items = 20 if then_wait else 100_000
    started = time.monotonic()
    with closing(line.read(items, then_wait=then_wait)) as reader:
        assert [next(reader) for _ in range(count)] == list(range(count))
    assert time.monotonic() - started < 5
    assert line.hung_up.is_set() == (count > 0)  # the thread starts only if there are items
    assert readers() == []


def test_reader_buffers_at_most_items_waiting() -> None:
    emitted: list[int] = []

    def work(emit: Emit[int]) -> None:
        for number in range(100):
            emit(number)
            emitted.append(number)

    def is_emitted(count: int) -> bool:
        return len(emitted) >= count

    with closing(read_in_thread(work, hang_up=lambda: None, cancelled=threading.Event())) as reader:
        for read in range(1, 21):
            next(reader)
            wait_until(partial(is_emitted, read + ITEMS_WAITING))
            assert len(emitted) <= read + ITEMS_WAITING


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_reader_raises_error_after_earlier_items(error: BaseException) -> None:
    def work(emit: Emit[int]) -> None:
        emit(1)
        raise error

    reader = read_in_thread(work, hang_up=lambda: None, cancelled=threading.Event())
    assert next(reader) == 1
    with pytest.raises(type(error)) as caught:
        next(reader)
    assert caught.value is error
    assert readers() == []


def test_reader_cancelled_while_silent_ends() -> None:
    line = Line()
    threading.Timer(0.3, line.cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(CancelledError):
        list(line.read(5, then_wait=True))
    assert time.monotonic() - started < 5
    assert readers() == []


@pytest.mark.parametrize("count", [1, 3, 50])
def test_nested_readers_end_together(count: int) -> None:
    line = Line()

    def pass_on(emit: Emit[int]) -> None:
        with closing(line.read(60, then_wait=True)) as reader:
            for number in reader:
                emit(number)

    with closing(read_in_thread(pass_on, hang_up=line.hung_up.set, cancelled=line.cancelled)) as reader:
        assert [next(reader) for _ in range(count)] == list(range(count))
    assert readers() == []


def test_reader_silent_after_deadline_raises_silence_error() -> None:
    hung_up = threading.Event()

    def work(emit: Emit[int]) -> None:
        emit(1)
        assert hung_up.wait(60)

    reader = read_in_thread(work, hang_up=hung_up.set, cancelled=threading.Event(), seconds=0.1, silent_seconds=0.3)
    assert next(reader) == 1
    with pytest.raises(SilenceError):
        next(reader)
    assert hung_up.is_set()
    assert readers() == []


def test_reader_yields_buffered_items_after_deadline() -> None:
    def work(emit: Emit[int]) -> None:
        for number in range(5):
            emit(number)

    past = read_in_thread(work, hang_up=lambda: None, cancelled=threading.Event(), seconds=-1, silent_seconds=0.0)
    with closing(past) as reader:
        received = []
        for number in reader:
            time.sleep(0.01)  # makes the consumer take longer than the deadline
            received.append(number)
    assert received == list(range(5))
