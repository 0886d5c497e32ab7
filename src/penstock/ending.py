"""Tells a reader to end: because it was closed, or because the whole process is to stop."""

import threading
import time

_LOOK_EVERY_S = 0.05


class Ending(threading.Event):
    """Is set when it is set itself (the reader was closed) or when the process's `stop` is set."""

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
        """Wait for either reason; answers whether one has come."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = _LOOK_EVERY_S if until is None else min(_LOOK_EVERY_S, until - time.monotonic())
            if left <= 0:
                break
            super().wait(left)
        return self.is_set()
