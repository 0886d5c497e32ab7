"""Turns of the two threads that work on one collection: the load, and what becomes of a drop in the stream."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.ending import Ending
from penstock.errors import Stopped


class Turns:
    """The loading thread gives way as soon as the stream's thread asks, and nothing of its load is in flight then."""

    def __init__(self, ending: threading.Event) -> None:
        self._ending = ending
        self.give_way = Ending(ending)
        """Set while the loading thread should end its turn."""
        self._next = threading.Lock()
        self._mine = threading.Lock()

    @contextmanager
    def of_load(self) -> Iterator[None]:
        """A turn of the loading thread; comes after the stream's, if that waits. Raises Stopped when the term ends."""
        with self._next:
            self._mine.acquire()
        try:
            if self._ending.is_set():
                raise Stopped("the term ends")
            yield
        finally:
            self._mine.release()

    @contextmanager
    def of_stream(self) -> Iterator[None]:
        """A turn of the stream's thread; begins when the loading thread has given way."""
        self.give_way.set()
        with self._next, self._mine:
            self.give_way.clear()
            yield
