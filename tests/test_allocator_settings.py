"""Freed memory returns to the kernel. The test uses a separate process, because the setting affects a whole process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from quire.settings import CLONE

MEGABYTE = 1024 * 1024
PROGRAM = """
import sys
from pathlib import Path
from quire.allocator_settings import map_large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "given back":
    map_large_blocks()
del (raising := [bytearray(30 << 20)])[:]  # after which glibc would keep blocks of up to 30 MB
blocks = [bytearray(1 << 20) for _ in range(200)]
before = resident()
del blocks[:-1]
print(before - resident())
"""


def given_back(how: str) -> int:
    """Returns how many bytes return to the kernel when the first 199 of 200 blocks of 1 MiB are freed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env={"PYTHONPATH": str(CLONE / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the option is glibc's")
def test_large_blocks_that_are_freed_go_back_to_the_kernel() -> None:
    assert given_back("by default") < 50 * MEGABYTE
    assert given_back("given back") > 190 * MEGABYTE
