"""One command's time and memory, seen from outside: the whole process tree, so that nobody's helpers are left out."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Wall seconds, the tree's largest resident memory in bytes, and the seconds that the command itself told.

    ``own_seconds`` is what it printed last as ``seconds 1.23``: for those that time a part of what they do.
    """

    seconds: float
    peak_bytes: int
    own_seconds: float | None


def measure(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Measurement:
    """Runs a command to its end.

    Raises:
        RuntimeError: it failed, with what it printed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, tree_bytes(process.pid))
            time.sleep(SECONDS_BETWEEN_LOOKS)

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = process.communicate()
    seconds = time.perf_counter() - began
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{said[-2000:]}")
    lines = said.strip().splitlines()
    told = lines[-1].split() if lines else []
    own = float(told[1]) if len(told) == 2 and told[0] == "seconds" else None
    return Measurement(seconds=seconds, peak_bytes=peak, own_seconds=own)


def tree_bytes(root: int) -> int:
    """Returns the resident memory of a process and all below it, as /proc has it (shared pages count for each).

    Only the tree is read, not all of /proc: looking must not take the time that is measured.
    """
    size, waiting = 0, [root]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        try:
            size += int((process / "statm").read_text().split()[1]) * PAGE
            for children in process.glob("task/*/children"):
                waiting += map(int, children.read_text().split())
        except OSError:  # it has just ended
            continue
    return size
