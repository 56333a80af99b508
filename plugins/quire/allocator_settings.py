"""Configures memory allocators and Polars so that a task's peak memory stays low, and returns freed memory."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from typing import Any

from quire.settings import process_environment, set_defaults

LARGE_BYTES = 128 * 1024
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD in malloc.h

# When Polars is loaded, its allocator reads this variable, which makes the allocator return freed pages quickly. A run
# on TPC-H lineitem (scale factor 1) then uses 40 MB less memory and the same CPU time.
POLARS_VARIABLES = {
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:100,muzzy_decay_ms:0",
    # The number of row groups that Polars prefetches. With the default, large files take hundreds of MB. The first
    # TPC-H query over seven years (60 million rows) in S3 peaks at 255 MB with 2 row groups. With 6, it peaks at 400 MB
    # and is no faster.
    "POLARS_ROW_GROUP_PREFETCH_SIZE": "2",
}
# With jemalloc, Arrow retains less freed memory than with its default allocator (50 MB less while extracting rows, 25
# MB less while writing them) but takes 3% longer. By default, jemalloc retains freed pages for a second, which raises
# the next stage's peak by 50 to 80 MB and saves no time.
# Arrow reads both when it is loaded. The second has no effect on processes that do not use Arrow's jemalloc, so it may
# also be set in a process that runs other people's code.
ARROW_POOL = "jemalloc"
JEMALLOC_VARIABLES = {"JE_ARROW_MALLOC_CONF": "dirty_decay_ms:200,muzzy_decay_ms:0"}
ARROW_VARIABLES = {"ARROW_DEFAULT_MEMORY_POOL": ARROW_POOL, **JEMALLOC_VARIABLES}
JEMALLOC_PAGE_BYTES = 4096  # the only page size that Arrow's jemalloc supports


def configure_process() -> None:
    """Configures the Polars and Arrow allocators.

    Call this function before Polars is loaded, and only in Quire's own processes.

    Variables that the user has set take precedence.
    """
    set_defaults(POLARS_VARIABLES)
    if os.sysconf("SC_PAGE_SIZE") == JEMALLOC_PAGE_BYTES:
        set_defaults(ARROW_VARIABLES)
    if arrow := sys.modules.get("pyarrow"):  # which has already read its variables
        _configure_loaded_arrow(arrow)


def _configure_loaded_arrow(arrow: Any) -> None:
    if process_environment().get("ARROW_DEFAULT_MEMORY_POOL") == ARROW_POOL:
        with suppress(NotImplementedError):  # Arrow was built without jemalloc
            arrow.set_memory_pool(arrow.jemalloc_memory_pool())


def map_large_blocks() -> None:
    """Makes glibc allocate every large block with its own mmap, in all of this process's threads.

    By default, glibc raises the mmap threshold to the size of the largest freed block (mallopt(3)). Batches and upload
    parts are then allocated in per-thread heaps, which never shrink and waste 100 MB in a run on TPC-H lineitem with
    two concurrent extracts. Other allocators lack this option, so the function does not affect them.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE_BYTES)


def release_free_memory() -> None:
    """Returns unused memory from Arrow and glibc to the kernel."""
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
