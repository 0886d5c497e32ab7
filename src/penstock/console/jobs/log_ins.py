"""Log-ins in the activity, in the background: an index that is away or slow keeps nobody out.

Who tries wrong tokens all day makes one entry grow: refused log-ins are counted, and written once in a while.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from penstock.console.jobs.activity import ActivityLog, Kind
from penstock.console.jobs.job import Person
from penstock.errors import PenstockError
from penstock.observe.wording import counted

log = structlog.get_logger(__name__)

_REFUSED_EVERY_S: Final = 30.0
_STOP_SEEN_WITHIN_S: Final = 0.2
_MOST_WAITING: Final = 100
_MOST_ADDRESSES: Final = 1000
_LONGEST_ADDRESS: Final = 100
_CONSOLE: Final = "the console"
LOG_INS: Final = "penstock-log-ins"
"""The name of the thread that writes them."""
NOBODY: Final = Person("somebody", "no token")


@dataclass
class LogIns:
    """Notes log-ins, and what is counted when `stop` is set.

    `activity` may raise PenstockError; then they are in the log of the console alone.
    """

    activity: Callable[[], ActivityLog]
    stop: threading.Event = field(default_factory=threading.Event)
    refused_every_s: float = _REFUSED_EVERY_S
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _let_in: list[tuple[Person, str]] = field(default_factory=list)
    _wrong: int = 0
    _addresses: set[str] = field(default_factory=set)
    _last: str = ""
    _refused_at: float | None = None
    """When an entry of refused ones was written last."""
    _is_writing: bool = False

    def let_in(self, by: Person, address: str) -> None:
        """Somebody has logged in."""
        with self._changed:
            self._let_in = [*self._let_in, (by, address[:_LONGEST_ADDRESS])][-_MOST_WAITING:]
            self._write()

    def refused(self, address: str) -> None:
        """Somebody has tried a wrong token."""
        with self._changed:
            self._wrong += 1
            self._last = address[:_LONGEST_ADDRESS]
            if len(self._addresses) < _MOST_ADDRESSES:
                self._addresses.add(self._last)
            self._write()

    def _write(self) -> None:
        self._changed.notify()
        if not self._is_writing:
            self._is_writing = True
            threading.Thread(target=self._write_all, name=LOG_INS, daemon=True).start()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                while not self._let_in and (not self._wrong or self._rests_s() > 0):
                    if not self._wrong:
                        self._is_writing = False
                        return
                    self._changed.wait(min(self._rests_s(), _STOP_SEEN_WITHIN_S))
                entries = self._taken()
            try:
                activity = self.activity()
                for by, what, result, kind in entries:
                    activity.note(by, what, _CONSOLE, result, kind=kind)
            except PenstockError as error:
                log.warning("log-ins could not be noted in the activity", reason=str(error))

    def _rests_s(self) -> float:
        """For how long what is refused is only counted."""
        if self._refused_at is None or self.stop.is_set():
            return 0.0
        return self._refused_at + self.refused_every_s - time.monotonic()

    def _taken(self) -> list[tuple[Person, str, str, Kind]]:
        taken: list[tuple[Person, str, str, Kind]] = [
            (by, "logged in", f"from {address}", "log-in") for by, address in self._let_in
        ]
        self._let_in = []
        if self._wrong and self._rests_s() <= 0:
            taken.append((NOBODY, "was refused", _in_words(self._wrong, len(self._addresses), self._last), "refused"))
            self._wrong, self._addresses, self._refused_at = 0, set(), time.monotonic()
        return taken


def _in_words(wrong: int, addresses: int, last: str) -> str:
    if addresses == 1:
        return f"{counted(wrong, 'wrong token')} from {last}"
    return f"{counted(wrong, 'wrong token')} from {addresses} addresses, the last from {last}"
