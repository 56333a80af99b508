"""Measures the time and memory that a command's process tree uses, from another process."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The time and memory that a command used.

    Args:
        seconds: wall time.
        peak_bytes: the process tree's peak resident memory.
        own_seconds: the time that the command prints on its last line (``seconds 1.23``), if it measures its own work.
    """

    seconds: float
    peak_bytes: int
    own_seconds: float | None


def measure(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Measurement:
    """Runs a command and returns its measurements.

    Raises:
        RuntimeError: the command failed; the message contains its output.
    """
    started = time.perf_counter()
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
            time.sleep(SAMPLE_SECONDS)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output[-2000:]}")
    lines = output.strip().splitlines()
    words = lines[-1].split() if lines else []
    own_seconds = float(words[1]) if len(words) == 2 and words[0] == "seconds" else None
    return Measurement(seconds=seconds, peak_bytes=peak, own_seconds=own_seconds)


def tree_bytes(root: int) -> int:
    """Returns the resident memory of a process and its descendants; counts shared pages once for each process.

    Reads only the tree's entries in /proc, so that sampling does not affect the measurement.
    """
    size, pending = 0, [root]
    while pending:
        process = Path("/proc") / str(pending.pop())
        try:
            size += int((process / "statm").read_text().split()[1]) * PAGE
            for children in process.glob("task/*/children"):
                pending += map(int, children.read_text().split())
        except OSError:  # the process has just ended
            continue
    return size
