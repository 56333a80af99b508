"""A limit of memory that the kernel enforces on a process and all that it starts: cgroups, version 2 or 1 (as root)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# the first word is the group's file of processes; the rest is what to run in it
ENTER = ("sh", "-c", 'echo $$ > "$1"; shift; exec "$@"', "sh")


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[list[str]]:
    """Gives the words that go before a command, so that it runs with so much memory; whatever takes more is killed.

    Pages of files count too, but the kernel drops those before it kills.

    Raises:
        OSError: this machine lets us make no group.
    """
    second = (ROOT / "cgroup.controllers").exists()
    group = (ROOT if second else ROOT / "memory") / f"quire-bench-{os.getpid()}"
    if second:
        (ROOT / "cgroup.subtree_control").write_text("+memory")
    group.mkdir()
    try:
        (group / ("memory.max" if second else "memory.limit_in_bytes")).write_text(str(limit_bytes))
        for swap in ("memory.swap.max", "memory.memsw.limit_in_bytes"):
            if (group / swap).exists():
                (group / swap).write_text("0" if second else str(limit_bytes))
        yield [*ENTER, str(group / "cgroup.procs")]
    finally:
        group.rmdir()
