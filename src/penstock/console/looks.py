"""What is read once for all viewers: fifty people who look at the same page cost one look."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from penstock.errors import PenstockError

T = TypeVar("T")

_KEPT: Final = 500
"""How many looks are remembered; the one that was asked for longest ago is forgotten."""


@dataclass
class _Look:
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: Any = None
    error: PenstockError | None = None
    read_at: float | None = None

    def is_fresh(self, every_s: float) -> bool:
        return self.read_at is not None and time.monotonic() - self.read_at < every_s

    def answer(self) -> Any:
        if self.error:
            raise self.error.with_traceback(None)  # which would grow by each viewer
        return self.value


class Looks:
    """Remembers what was read for a moment. What could not be read is remembered too, as its error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: OrderedDict[Hashable, _Look] = OrderedDict()

    def look(self, key: Hashable, read: Callable[[], T], *, every_s: float = 1.0) -> T:
        """Return what `read` returned, at most once in `every_s` seconds.

        While somebody else reads it again, return what was read before. Raises what `read` raises.
        """
        look = self._look(key)
        if not look.is_fresh(every_s) and look.lock.acquire(blocking=look.read_at is None):
            try:
                if not look.is_fresh(every_s):
                    self._read(look, read)
            finally:
                look.lock.release()
        found: T = look.answer()
        return found

    def latest(self, key: Hashable, read: Callable[[], T], *, every_s: float = 1.0) -> tuple[T, float]:
        """Return what was read last, however old it is, and its age in seconds; only the first one waits.

        What is older than `every_s` is read again meanwhile. Raises what `read` raises.
        """
        look = self._look(key)
        if look.read_at is None or look.error:
            return self.look(key, read, every_s=every_s), 0.0
        found: T = look.answer()
        age_s = time.monotonic() - look.read_at
        if not look.is_fresh(every_s) and look.lock.acquire(blocking=False):
            threading.Thread(target=self._read_meanwhile, args=[look, read], name="penstock-look", daemon=True).start()
        return found, age_s

    def forget(self, key: Hashable) -> None:
        """Read it again when it is asked for next, because an action has changed it."""
        with self._lock:
            self._looks.pop(key, None)

    def _look(self, key: Hashable) -> _Look:
        with self._lock:
            look = self._looks.setdefault(key, _Look())
            self._looks.move_to_end(key)
            if len(self._looks) > _KEPT:
                self._looks.popitem(last=False)
            return look

    def _read_meanwhile(self, look: _Look, read: Callable[[], Any]) -> None:
        """Read, with the lock of the look, which ends with it."""
        try:
            self._read(look, read)
        finally:
            look.lock.release()

    @staticmethod
    def _read(look: _Look, read: Callable[[], Any]) -> None:
        try:
            look.value, look.error = read(), None
        except PenstockError as error:
            look.error = error
        look.read_at = time.monotonic()
