"""Saves a pipeline's position from time to time, while the pipeline works on: a busy index is slow to answer."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Self

from penstock.model import Position
from penstock.runtime.intervals import INTERVALS


class Checkpointer:
    """Saves in a thread of its own, one position after the other; leaving the context waits for the last one.

    The first position is saved at once. What `save` raised is raised by the next call.
    """

    def __init__(
        self,
        save: Callable[[Position], None],
        *,
        every_s: float,
        idle_s: float = INTERVALS.idle_save_s,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`idle_s` takes the place of `every_s` while nothing is read."""
        self._save = save
        self._every_s = every_s
        self._idle_s = idle_s
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="penstock-checkpoint")
        self._under_way: Future[None] | None = None
        self._position: Position | None = None
        self._saved: Position | None = None
        self._saved_at: float | None = None
        self._saved_read = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def reached(self, position: Position, read: int) -> None:
        """Save this position, unless one was saved just before: all before it is safe, `read` changes so far."""
        self._position = position
        if self._under_way is not None and not self._under_way.done():
            return
        self._wait()
        every_s = self._every_s if read != self._saved_read else self._idle_s
        if self._saved_at is None or self._now() - self._saved_at >= every_s:
            self._begin()
            self._saved_read = read

    def finish(self) -> None:
        """Save the last position that was reached, and wait for it."""
        self._wait()
        self._begin()
        self._wait()

    def _begin(self) -> None:
        if self._position is None or self._position == self._saved:
            return
        self._saved, self._saved_at = self._position, self._now()
        self._under_way = self._thread.submit(copy_context().run, self._save, self._position)

    def _wait(self) -> None:
        """For the save that is under way; raises what it raised."""
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None
