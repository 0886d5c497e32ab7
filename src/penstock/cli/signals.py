"""SIGTERM and SIGINT: the first one asks for a clean stop, the second one ends the process at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from penstock.errors import Stopped

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class StopSignals:
    """`stop` is set by the first signal; `received` says which one it was."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.received: int | None = None

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal, ask for the stop, and let the next signal end the process."""
        self.received = number
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        # A handler runs between two steps of the main thread, which may hold the event's own lock just then.
        threading.Thread(target=self.stop.set, daemon=True).start()

    def exit_code(self, *, endless: bool) -> int:
        """Answer the exit code; for an endless command SIGTERM is the ordinary way to end it."""
        if self.received == signal.SIGINT:
            return INTERRUPTED
        return TERMINATED if self.received == signal.SIGTERM and not endless else 0


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Take the signals over for as long as a command runs; a wait that they ended is a clean end."""
    signals = StopSignals()
    before = {number: signal.signal(number, signals.take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with suppress(Stopped):
            yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
