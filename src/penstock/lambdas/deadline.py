"""The time that an invocation has left."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ending_before(context: Any, *, reserve_s: float, at_most_s: float) -> Iterator[threading.Event]:
    """An event that is set `reserve_s` before the invocation's time runs out, and after `at_most_s` in any case.

    An invocation that has hardly more time than the reserve still gets a third of it.
    """
    left_s = context.get_remaining_time_in_millis() / 1000
    stop = threading.Event()
    timer = threading.Timer(min(at_most_s, max(left_s / 3, left_s - reserve_s)), stop.set)
    timer.daemon = True
    timer.start()
    try:
        yield stop
    finally:
        timer.cancel()


def lag_s(seconds: int) -> float:
    """How long ago a Unix time was."""
    return max(0.0, time.time() - seconds)
