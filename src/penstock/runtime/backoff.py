"""Waits between attempts: longer each time, randomised, and over at once when the process is stopping.

The delays grow exponentially with full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015), so that many workers do not come back to a recovering server at the same moment.
"""

import random
import threading
from dataclasses import dataclass, field

from penstock.errors import Stopped


@dataclass
class Backoff:
    """The waits of one series of attempts; make a new one, or `reset`, after a success."""

    stop: threading.Event
    first_s: float = 0.05
    most_s: float = 10.0
    attempts: int = field(default=0, init=False)

    def wait(self, at_least_s: float = 0.0) -> float:
        """Wait before the next attempt; return for how long. `at_least_s` is what the other side asked for.

        Raises Stopped if the process is stopping, before or during the wait.
        """
        ceiling = min(self.most_s, self.first_s * 2.0**self.attempts)
        delay = max(at_least_s, ceiling * random.uniform(0.5, 1.0))
        self.attempts = min(self.attempts + 1, 32)
        if self.stop.wait(delay):
            raise Stopped("stopped while waiting for another attempt")
        return delay

    def reset(self) -> None:
        """Start again with the shortest wait."""
        self.attempts = 0
