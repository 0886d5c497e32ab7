"""Turns of the threads that work on collections: the loads, and what becomes of a drop in the stream."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.errors import Stopped
from penstock.runtime.threads import ChildEvent


class LoadGate:
    """The loading threads give way as soon as the stream's thread asks, and nothing of a load is in flight then."""

    def __init__(self, ending: threading.Event) -> None:
        self._ending = ending
        self.give_way = ChildEvent(ending)
        """Set while the loading threads should end their turns."""
        self._changed = threading.Condition()
        self._loads = 0
        self._stream = False

    @contextmanager
    def of_load(self) -> Iterator[None]:
        """A turn of a loading thread, beside others; comes after the stream's, if that waits.

        Raises Stopped when the term ends.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._stream)
            self._loads += 1
        try:
            if self._ending.is_set():
                raise Stopped("the term ends")
            yield
        finally:
            with self._changed:
                self._loads -= 1
                self._changed.notify_all()

    @contextmanager
    def of_stream(self) -> Iterator[None]:
        """A turn of the stream's thread; begins when the loading threads have given way."""
        with self._changed:
            self._stream = True
            self.give_way.set()
            self._changed.wait_for(lambda: not self._loads)
            self.give_way.clear()
        try:
            yield
        finally:
            with self._changed:
                self._stream = False
                self._changed.notify_all()
