"""Threads: run together to the first failure, and an event that ends with its parent."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from penstock.errors import Stopped

_LOOK_EVERY_S = 0.05
_WAKE_EVERY_S = 0.2


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
