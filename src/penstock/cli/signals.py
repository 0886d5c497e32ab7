"""SIGTERM and SIGINT: the first signal asks for a clean stop, the second ends the process at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from penstock.errors import Stopped

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class StopSignals:
    """`stop` is set by the first signal; `received` is its number."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.received: int | None = None

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal, ask for the stop, and let the next signal end the process."""
        self.received = number
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        # A handler runs between two steps of the main thread, which may be holding the event's lock at that moment.
        threading.Thread(target=self.stop.set, daemon=True).start()

    def exit_code(self, *, endless: bool) -> int:
        """Return the exit code. For an endless command, SIGTERM is the normal way to end it, so its code is 0."""
        if self.received == signal.SIGINT:
            return INTERRUPTED
        return TERMINATED if self.received == signal.SIGTERM and not endless else 0


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Handle the signals while a command runs. Stopped, raised by a wait that a signal ended, is a clean end."""
    signals = StopSignals()
    before = {number: signal.signal(number, signals.take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with suppress(Stopped):
            yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
