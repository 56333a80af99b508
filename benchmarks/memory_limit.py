"""Limits the memory of a process and its children through cgroups v2 or v1, enforced by the kernel; requires root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# The first argument is the group's process file; the remaining arguments are the command to run in the group.
ENTER = ("sh", "-c", 'echo $$ > "$1"; shift; exec "$@"', "sh")


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[list[str]]:
    """Yields a prefix for a command; the kernel kills a prefixed command that exceeds the memory limit.

    The limit includes the page cache, but the kernel drops cached pages before it kills a process.

    Raises:
        OSError: this process cannot create a control group.
    """
    is_version_2 = (ROOT / "cgroup.controllers").exists()
    group = (ROOT if is_version_2 else ROOT / "memory") / f"quire-bench-{os.getpid()}"
    if is_version_2:
        (ROOT / "cgroup.subtree_control").write_text("+memory")
    group.mkdir()
    try:
        (group / ("memory.max" if is_version_2 else "memory.limit_in_bytes")).write_text(str(limit_bytes))
        for swap in ("memory.swap.max", "memory.memsw.limit_in_bytes"):
            if (group / swap).exists():
                (group / swap).write_text("0" if is_version_2 else str(limit_bytes))
        yield [*ENTER, str(group / "cgroup.procs")]
    finally:
        group.rmdir()
