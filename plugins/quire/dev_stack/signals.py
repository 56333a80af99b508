"""Handles stop signals, and delays them while an interruption would leave processes running."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt_on_stop_signals() -> None:
    """Makes the first stop signal raise KeyboardInterrupt, and ignores later signals so that cleanup can finish."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)


@contextmanager
def defer_stop_signals() -> Iterator[None]:
    """Delays stop signals until the block has finished.

    Child processes started in the block do not ignore SIGINT, even if this process does (a script's background jobs
    ignore it). Airflow's triggerer stops its child process with SIGINT, and would otherwise wait for 10 s.
    """
    if threading.current_thread() is not threading.main_thread():  # signal handlers run only in the main thread
        yield
        return
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    replaced: dict[int, Any] = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in replaced:
        # SIG_IGN is not an option, because child processes would inherit it.
        signal.signal(number, lambda number, frame: received.append(number))
    if handlers[signal.SIGINT] is signal.SIG_IGN:
        replaced[signal.SIGINT] = signal.SIG_IGN
        signal.signal(signal.SIGINT, _ignore)
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


def _interrupt(number: int, frame: FrameType | None) -> None:
    for stop_signal in STOP_SIGNALS:
        if callable(signal.getsignal(stop_signal)):
            signal.signal(stop_signal, _ignore)
    raise KeyboardInterrupt


def _ignore(number: int, frame: FrameType | None) -> None:
    """Ignores a signal. Unlike SIG_IGN, this handler is not inherited by child processes."""
