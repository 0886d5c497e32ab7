"""How this process uses memory, where millions of short-lived documents pass through. For the doors.

Python looks for cycles among its objects rarely: documents hold none, and are freed by their reference counts.
The C library keeps what was freed: each batch is followed by one of the same size, and to give its pages back to the
system and fetch them again costs more than to encode it.
"""

import ctypes
import gc
import sys

_THRESHOLDS = (200_000, 20, 100)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of the GNU C library
_KEPT_BYTES = 32 * 1024 * 1024
"""So much may lie idle at the end of the heap; also the largest size for which the C library allows it."""


def for_many_documents() -> None:
    """Set up the process; what was imported so far is left out of every look for cycles."""
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
