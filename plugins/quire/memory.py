"""Returns freed memory to the kernel, so the peak of a task does not include memory of earlier ones."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

from quire.settings import set_defaults

LARGE_BYTES = 128 * 1024
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h


# Read by Polars' allocator when it is loaded: freed pages go back to the kernel soon. A run over TPC-H lineitem of
# scale factor 1 holds 40 MB less, for a processor time that is the same.
POLARS_VARIABLES = {
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:100,muzzy_decay_ms:0",
    # How many row groups Polars fetches before they are asked for; by itself it goes to hundreds of MB with large
    # files. TPC-H's first query over the 60 million rows of seven years, in S3: a peak of 255 MB; of 400 with 6, and
    # no sooner.
    "POLARS_ROW_GROUP_PREFETCH_SIZE": "2",
}
# Arrow's allocator of the same kind, which keeps less of what is freed than the one it takes by itself: 50 MB less
# while rows are extracted, 25 MB while they are written, for 3% of the time. It would keep freed pages for a second,
# into the next stage: 50 to 80 MB more at its peak, for no time at all.
ARROW_VARIABLES = {
    "ARROW_DEFAULT_MEMORY_POOL": "jemalloc",
    "JE_ARROW_MALLOC_CONF": "dirty_decay_ms:200,muzzy_decay_ms:0",
}
JEMALLOC_PAGE_BYTES = 4096  # Arrow's jemalloc supports memory pages of no other size


def configure_process() -> None:
    """Chooses how Polars and Arrow allocate, in a process or task of Quire's own, before either is loaded.

    Variables that the user has set stay. Other processes of Airflow that only load the plugin are left alone.
    """
    set_defaults(POLARS_VARIABLES)
    if os.sysconf("SC_PAGE_SIZE") == JEMALLOC_PAGE_BYTES:
        set_defaults(ARROW_VARIABLES)


def give_back_large_blocks() -> None:
    """Makes glibc map every large block by itself, from now on, in all threads of this process.

    By itself it raises that threshold to the largest block that was freed (mallopt(3)); batches and parts of uploads
    then lie in heaps of their threads, which stay as large as they were once: 100 MB of a run over TPC-H lineitem with
    two extracts at once. Other systems' allocators have no such option, and are left alone.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, LARGE_BYTES)


def give_back_free_memory() -> None:
    """Returns the unused memory of Arrow and glibc to the kernel."""
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
