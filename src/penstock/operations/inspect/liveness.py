"""Whether a worker is there: it reported lately, or what it writes changes while one looks.

alive       for who looks once at leases
beating     for who looks once at processes
Heartbeats  for who keeps looking: it judges by unchanged sequence numbers, on its own clock
"""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.opensearch.state.store import StateDocument

_GONE_AFTER_LEASES = 2
"""A worker reports several times within the time of its lease; a report of two of them ago says nothing."""

_LOOK_FOR_LEASES = 0.5
"""A lease is renewed after a third of its time."""


def reported_lately(document: StateDocument) -> bool:
    """Whether what the document says of its worker is recent."""
    age_s = abs(time.time() - document["status"].get("reported_at", 0.0))  # the clock of that machine may be ahead
    return not document["released"] and age_s < _GONE_AFTER_LEASES * float(document["lease_s"])


def alive(
    documents: Mapping[str, StateDocument],
    look: Callable[[Sequence[str]], Mapping[str, StateDocument]],
    *,
    every_s: float,
) -> frozenset[str]:
    """Those of the pipelines' state documents, by id, whose worker is there.

    A lease that is held without a report is of a worker that has just begun, or is dead: `look` reads the documents
    again, every `every_s` seconds for up to half a lease, to see whether they are renewed.
    """
    there = {state_id for state_id, document in documents.items() if reported_lately(document)}
    silent = {name: each for name, each in documents.items() if name not in there and not each["released"]}
    longest_s = max((_LOOK_FOR_LEASES * float(each["lease_s"]) for each in silent.values()), default=0.0)
    until = time.monotonic() + longest_s
    while silent and time.monotonic() < until:
        time.sleep(every_s)
        for state_id, now in look(list(silent)).items():
            if _turn(now) != _turn(silent[state_id]):
                del silent[state_id]
                there |= set() if now["released"] else {state_id}
    return frozenset(there)


def beating(
    documents: Mapping[str, StateDocument],
    look: Callable[[Sequence[str]], Mapping[str, StateDocument]],
    *,
    every_s: float,
    within_s: float,
) -> frozenset[str]:
    """Those of the processes' documents, by id, that are written again within the time; for who looks once."""
    there: set[str] = set()
    open_ = dict(documents)
    until = time.monotonic() + within_s
    while open_ and time.monotonic() < until:
        time.sleep(every_s)
        now = look(list(open_))
        there |= {name for name, each in now.items() if each["beat"] != open_[name]["beat"]}
        open_ = {name: each for name, each in open_.items() if name in now and name not in there}
    return frozenset(there)


def _turn(document: StateDocument) -> tuple[int, int]:
    """What every write of the document moves on."""
    return document["epoch"], document["beat"]


@dataclass
class _Beat:
    """What was seen of one writer last, and for how long it has not changed since."""

    turn: Hashable
    has_changed: bool = False
    unchanged_s: float = 0.0


@dataclass
class Heartbeats:
    """Whose documents go on changing, as seen by who looks again and again. No wall clocks are compared.

    What is not seen counts for nobody's silence: the time before a look that failed or was slow, and more than
    `gap_s` between two looks.
    """

    gap_s: float
    now: Callable[[], float] = time.monotonic
    _beats: dict[str, _Beat] = field(default_factory=dict)
    _looked_at: float | None = None

    def saw(self, turns: Mapping[str, Hashable]) -> None:
        """Take what a look has found: for each writer what its every write moves on, such as a sequence number."""
        now = self.now()
        gap_s = 0.0 if self._looked_at is None else min(self.gap_s, now - self._looked_at)
        self._looked_at = now
        before, self._beats = self._beats, {}
        for name, turn in turns.items():
            known = before.get(name)
            if known is None:
                self._beats[name] = _Beat(turn)
            elif known.turn != turn:
                self._beats[name] = _Beat(turn, has_changed=True)
            else:
                self._beats[name] = _Beat(turn, known.has_changed, known.unchanged_s + gap_s)

    def missed(self) -> None:
        """Note that a look was not answered, or that writers could not write: all is open again."""
        self._looked_at = None
        self._beats = {name: _Beat(each.turn) for name, each in self._beats.items()}

    def silent_s(self, name: str) -> float:
        """For how long a writer has not been heard of while it could have been."""
        return self._beats[name].unchanged_s if name in self._beats else 0.0

    def was_heard(self, name: str) -> bool:
        """Whether the writer has written since it was seen first."""
        return name in self._beats and self._beats[name].has_changed
