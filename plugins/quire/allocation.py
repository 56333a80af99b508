"""Memory that is freed goes back to the kernel, so that a task's peak is what it holds, and not what it once held."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

LARGE_BYTES = 128 * 1024
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h


def give_back_large_blocks() -> None:
    """Makes glibc map every large block by itself, from now on, in all threads of this process.

    By itself it raises that threshold to the largest block that was freed (mallopt(3)); batches and parts of uploads
    then lie in heaps of their threads, which stay as large as they were once: 100 MB of a run over TPC-H lineitem with
    two extracts at once. Other systems' allocators have no such option, and are left alone.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE_BYTES)


def give_back_free_memory() -> None:
    """Gives back what Arrow and glibc hold and nobody uses: a task does not count what the last one had."""
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
