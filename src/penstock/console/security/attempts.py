"""How often somebody may try a wrong token."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

WRONG_TOKENS: Final = 5
WITHIN_S: Final = 60.0
_ADDRESSES: Final = 1000
"""How many addresses are remembered; the one that failed longest ago is forgotten."""


class Attempts:
    """The wrong tokens of the last minute, by address."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return for how long no token of this address is looked at."""
        with self._lock:
            times = self._failed.get(address, deque())
            while times and times[0] <= self._now() - WITHIN_S:
                times.popleft()
            return times[0] + WITHIN_S - self._now() if len(times) >= WRONG_TOKENS else 0.0

    def failed(self, address: str) -> None:
        """Note a wrong token."""
        with self._lock:
            self._failed.setdefault(address, deque()).append(self._now())
            self._failed.move_to_end(address)
            if len(self._failed) > _ADDRESSES:
                self._failed.popitem(last=False)
