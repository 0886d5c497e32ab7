"""Threads: run together to the first failure, an event that ends with its parent, and an end for what hangs."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Final

from penstock.errors import Stopped

SOURCE_MAY_ANSWER_S: Final = 2.0
SINK_MAY_ANSWER_S: Final = 5.0
"""How long after a stop a request may still wait for its answer. The index has longer: the lease is released when the
source is done with. With all that an end takes this stays below 10 s, for Kubernetes kills after 30."""

_LOOK_EVERY_S = 0.05
_WAKE_EVERY_S = 0.2
_CUT_EVERY_S = 0.5
_CLOSED_EVERY_S = 1.0


class ChildEvent(threading.Event):
    """Counts as set when it is set itself (the reader was closed) or when the process's `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    @property
    def closed(self) -> bool:
        """Whether the reader itself was closed."""
        return super().is_set()

    def is_set(self) -> bool:
        """Whether the reader should end, for either reason."""
        return super().is_set() or self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for either reason; return whether there is one."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _LOOK_EVERY_S if until is None else min(_LOOK_EVERY_S, until - time.monotonic())
            if left <= 0:
                break
            super().wait(left)
        return self.is_set()


class Cutoff:
    """Calls `cut` some seconds after `stop` was set, and again and again from then on, until it is closed."""

    def __init__(self, stop: threading.Event, cut: Callable[[], None], *, after_s: float) -> None:
        self._stop, self._cut, self._after_s = stop, cut, after_s
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="penstock-cutoff", daemon=True).start()

    def close(self) -> None:
        """Call `cut` no more."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._stop.wait(_CLOSED_EVERY_S):
            if self._closed.is_set():
                return
        wait_s = self._after_s
        while not self._closed.wait(wait_s):
            self._cut()
            wait_s = _CUT_EVERY_S


def side_by_side(stop: threading.Event, *tasks: Callable[[], None]) -> None:
    """Run the tasks in threads until all have ended; the first one to fail sets `stop`, which must end the others.

    The wait is cut into short ones: a signal that another thread receives is handled by the main thread, which only
    notices when it wakes.

    Raises the first error that is not Stopped; a task that raises Stopped has ended as asked.
    """
    if not tasks:
        return
    with ThreadPoolExecutor(len(tasks), thread_name_prefix="penstock") as pool:
        futures = [pool.submit(task) for task in tasks]
        ended: set[Future[None]] = set()
        while len(ended) < len(futures) and not any(future.exception() for future in ended):
            ended, _ = wait(futures, _WAKE_EVERY_S, FIRST_EXCEPTION)
        if any(future.exception() for future in ended):
            stop.set()
    errors = [error for future in futures if (error := future.exception())]
    first = next((error for error in errors if not isinstance(error, Stopped)), None)
    if first:
        raise first
