"""Ends work before the invocation's time is up, no matter what the servers do."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

from penstock.errors import Stopped

T = TypeVar("T")

_RESERVE_S = 2.0
_GRACE_S = 0.5


def in_time(
    context: Any,
    work: Callable[[threading.Event], T],
    *,
    at_most_s: float,
    reserve_s: float = _RESERVE_S,
    grace_s: float = _GRACE_S,
) -> T:
    """Do the work and return its result; raise Stopped shortly before the time is up.

    The work is asked to stop `reserve_s` before that, and has `grace_s` to end; an invocation with hardly more time
    gets a third of it for each. Work that then still waits for a dead connection is left behind in its thread: a
    driver's own timeouts are longer than the time of a request.
    """
    left_s = context.get_remaining_time_in_millis() / 1000
    stop = threading.Event()
    threads = ThreadPoolExecutor(1, thread_name_prefix="invocation")
    doing = threads.submit(copy_context().run, work, stop)
    threads.shutdown(wait=False)
    if not wait([doing], min(at_most_s, max(left_s / 3, left_s - reserve_s))).done:
        stop.set()
        if not wait([doing], min(grace_s, left_s / 3)).done:
            raise Stopped("a request had no answer before the time was up")
    return doing.result()
