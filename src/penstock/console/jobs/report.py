"""What an operation has to say while it runs, kept in bounded form until the next beat saves it."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from penstock.console.jobs.job import now_text
from penstock.observe.wording import printable
from penstock.operations.verify import VerifyFinding, VerifyTally

_LINES: Final = 200
_MAX_LINE: Final = 1000
_MAX_NAME: Final = 200


class JobReport:
    """Implements `penstock.worker.progress.Progress`. Several threads may use it."""

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        """`lines` are those of the console that ran it before."""
        self._lock = threading.Lock()
        self._doing = ""
        self._total: int | None = None
        self._done = 0
        self._began = time.monotonic()
        self._counts: dict[str, int] = {}
        self._tally = VerifyTally()
        self._lines = deque[tuple[str, str]](lines, maxlen=_LINES)

    def doing(self, what: str) -> None:
        """Say what is being done now."""
        with self._lock:
            self._doing = what
        self.say(what)

    def started(self, _subject: str, total: int | None) -> None:
        """Begin to count again; `total` is an estimate."""
        with self._lock:
            self._total, self._done, self._began = total, 0, time.monotonic()

    def advanced(self, _subject: str, documents: int) -> None:
        """Count more as done."""
        with self._lock:
            self._done += documents

    def finished(self, _subject: str) -> None:
        """All of it is done."""
        with self._lock:
            self._total = self._done

    def reached(self, done: int, counts: Mapping[str, int]) -> None:
        """Say how much is done, and what the operation has counted."""
        with self._lock:
            self._done, self._counts = done, dict(counts)

    def found(self, finding: VerifyFinding) -> None:
        """Count a finding; the first of each kind are kept."""
        with self._lock:
            self._tally.note(finding)

    def say(self, line: str) -> None:
        """Keep a line; the latest are kept."""
        with self._lock:
            self._lines.append((now_text(), printable(line)[:_MAX_LINE]))

    @property
    def said(self) -> list[str]:
        """The lines that are kept."""
        with self._lock:
            return [line for _, line in self._lines]

    def snapshot(self) -> dict[str, Any]:
        """What is kept of it in the job."""
        with self._lock:
            seconds = time.monotonic() - self._began
            return {
                "doing": self._doing,
                "total": self._total,
                "done": self._done,
                "per_s": round(self._done / seconds, 1) if self._done and seconds else None,
                "counts": dict(self._counts),
                "found": {kind: count for kind, count in self._tally.found.items() if count},
                "findings": [_stored(each) for each in self._tally.kept],
                "lines": [list(each) for each in self._lines],
            }


def _stored(finding: VerifyFinding) -> dict[str, Any]:
    return {**finding._asdict(), "fields": [name[:_MAX_NAME] for name in finding.fields]}
