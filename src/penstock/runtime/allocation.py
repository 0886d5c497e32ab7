"""Tunes memory for a process that handles millions of short-lived documents. For the doors.

Python rarely looks for cycles among its objects: documents have none, and are freed by their reference counts. The C
library keeps memory that was freed: the next batch is of the same size, and returning pages to the system and fetching
them again costs more than encoding the batch.
"""

import ctypes
import gc
import sys

_THRESHOLDS = (200_000, 20, 100)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of the GNU C library
_KEPT_BYTES = 32 * 1024 * 1024
"""How much memory may lie idle at the end of the heap; also the largest size that the C library allows for this."""


def for_many_documents() -> None:
    """Set up the process; objects imported so far are left out of every search for cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    if sys.platform == "linux":
        _keep_freed_memory(ctypes.CDLL(None))


def _keep_freed_memory(c_library: ctypes.CDLL) -> None:
    mallopt = getattr(c_library, "mallopt", None)  # musl has none
    if mallopt:
        mallopt(_M_ARENA_MAX, 1)  # threads that wait for one interpreter lock gain nothing from heaps of their own
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
