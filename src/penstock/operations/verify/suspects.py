"""Documents that differed when they were looked at: looked at again, in batches, after growing pauses."""

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.operations.verify.ledger import VerifiedPage
from penstock.operations.verify.look import DocumentVerdict, Side

HELD: Final = 20_000
"""At this number, they are settled before anything else is read."""

UNSEEN: Final = -1

_BATCH = 1000
_BATCH_BYTES = 8 * 1024 * 1024
_FIRST_PAUSE_S = 0.25
_TOGETHER_S = 0.2
"""What is due so soon is looked at together with what is due."""


@dataclass(slots=True)
class Suspect:
    """One document. `version` is its version in the index at the last look (0: not there), `size` a guess of bytes.

    `moved`: that version has changed since its time began. `sent`, `written` and `tries` are of its repair; `first` is
    what was wrong when the repair began, `wrote` the version that it wrote, with a hash of the body.
    """

    id: str
    source_id: Any
    side: Side
    page: VerifiedPage
    until: float
    version: int = UNSEEN
    size: int = 64 * 1024
    pause_s: float = _FIRST_PAUSE_S
    moved: bool = False
    has_more_time: bool = False
    sent: bool = False
    written: bool = False
    tries: int = 0
    first: DocumentVerdict | None = None
    wrote: tuple[int, int] | None = None

    @property
    def is_over(self) -> bool:
        """Whether its time is over, or as good as."""
        return time.monotonic() + _TOGETHER_S >= self.until

    def saw(self, version: int) -> None:
        """Note its version in the index."""
        self.moved = self.moved or self.version not in (UNSEEN, version)
        self.version = version

    def gets_more_time(self, wait_s: float) -> bool:
        """Restart its time, once: what was delivered meanwhile may just have been overtaken by the next change."""
        if self.has_more_time:
            return False
        self._begin(wait_s)
        self.has_more_time = True
        return True

    def was_mended(self, verdict: DocumentVerdict, wait_s: float, *, wrote: tuple[int, int] | None) -> None:
        """Begin again after a repair; what was wrong at first is remembered, and what the repair wrote, if it did."""
        self.first, self.written = self.first or verdict, self.written or wrote is not None
        self.wrote = wrote
        self.tries += 1
        self._begin(wait_s)
        self.version, self.has_more_time = UNSEEN, False

    def _begin(self, wait_s: float) -> None:
        self.until, self.pause_s, self.moved = time.monotonic() + wait_s, _FIRST_PAUSE_S, False


@dataclass
class Suspects:
    """Those that are held, by the time at which they are to be looked at again."""

    _due: list[tuple[float, int, Suspect]] = field(default_factory=list)
    _number: int = 0

    def __len__(self) -> int:
        return len(self._due)

    def put(self, suspect: Suspect, *, at_once: bool = False) -> None:
        """Hold a document until it is looked at again: after its next pause, or when its time is over."""
        now = time.monotonic()
        due = now if at_once else min(now + suspect.pause_s, max(now, suspect.until))
        suspect.pause_s *= 2
        self._number += 1
        heapq.heappush(self._due, (due, self._number, suspect))

    def take_due(self) -> list[Suspect]:
        """The next batch to look at; empty while none is due."""
        now = time.monotonic()
        return list(self._taken(now)) if self._due and self._due[0][0] <= now else []

    def _taken(self, now: float) -> Iterator[Suspect]:
        size = 0
        for _ in range(_BATCH):
            if not self._due or self._due[0][0] > now + _TOGETHER_S or size > _BATCH_BYTES:
                return
            suspect = heapq.heappop(self._due)[2]
            size += suspect.size
            yield suspect

    def next_in_s(self) -> float:
        """How long until one is due."""
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else 0.0
