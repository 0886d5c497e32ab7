"""Keeps the loads of a pipeline apart from a drop or a rename that the stream brings."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.errors import Stopped
from penstock.runtime.threads import ChildEvent


class LoadGate:
    """Loads pass side by side, the stream alone. Loads give way as soon as the stream asks, with nothing in flight."""

    def __init__(self, ending: threading.Event) -> None:
        self._ending = ending
        self.give_way = ChildEvent(ending)
        """Set while the loading threads should leave."""
        self._changed = threading.Condition()
        self._loads = 0
        self._stream = False

    @contextmanager
    def for_load(self) -> Iterator[None]:
        """Let a loading thread pass, next to others; after the stream's thread, if that waits.

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
    def for_stream(self) -> Iterator[None]:
        """Let the stream's thread pass, once the loading threads have given way."""
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
