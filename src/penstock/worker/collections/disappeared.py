"""Collections that are gone without a word of it: DocumentDB tells of no rename and of no dropped database.

Names are compared from time to time. What the stream still has to tell comes first, so a collection is missing once
that was heard.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Final, NamedTuple

from penstock.model import Counts, Namespace, Position
from penstock.mongo.collections import identities
from penstock.mongo.connection import cluster_time
from penstock.opensearch.state.load_state import LoadState
from penstock.planner import FedGeneration, Plan
from penstock.wiring import Adapters
from penstock.worker.collections.drops import stays_away
from penstock.worker.collections.renames import Renames
from penstock.worker.load_gate import LoadGate

_EMPTY_ANSWERS: Final = 3
"""So many answers without a change were settled, and the last of them was surely asked for after the first."""


class WatermarkMoment(NamedTuple):
    """A cluster time, and how many empty answers there were before it."""

    time: int
    empty: int


@dataclass
class StreamWatermark:
    """Told by the stream's thread, asked by another one."""

    _time: int = 0
    _empty: int = 0

    def settled(self, position: Position, counts: Counts) -> None:
        """A batch is safe. Where idle answers do not tell how far they reach, their number does."""
        self._time = position.time
        self._empty += not counts.read

    def moment(self, time: int) -> WatermarkMoment:
        """Now, when the source's cluster time is `time`."""
        return WatermarkMoment(time, self._empty)

    def has_passed(self, moment: WatermarkMoment) -> bool:
        """Whether everything that happened before the moment was told and is safe."""
        return self._time >= moment.time or self._empty >= moment.empty + _EMPTY_ANSWERS


@dataclass
class Disappeared:
    """Finds what is missing among the collections of one pipeline."""

    plan: Plan
    adapters: Adapters
    loads: Mapping[Namespace, LoadState]
    turns: LoadGate
    renames: Renames
    ending: Event
    heard: StreamWatermark = field(default_factory=StreamWatermark)
    _since: dict[Namespace, WatermarkMoment] = field(default_factory=dict)
    now: Callable[[], float] = time.monotonic
    _compared_at: float | None = None

    def look_if_due(self) -> None:
        """Compare names, more often while one seems to be missing. Raises Outdated, SourceUnavailable, Stopped."""
        every_s = self.adapters.intervals.disappeared_s
        if self._since or self._compared_at is None or self.now() - self._compared_at > every_s:
            self._look()

    def _look(self) -> None:
        asked = [each for each in self.plan.collections if self._is_expected(each)]
        names = [name.coll for each in asked for name in (each.source, each.namespace)]
        give_way = self.turns.give_way
        there = self.adapters.ask(identities, self.plan.watch.db, names, stop=give_way) if names else {}
        now = self.heard.moment(self.adapters.ask(cluster_time, stop=give_way))
        gone = [each for each in asked if each.source.coll not in there]
        self._since = {each.namespace: self._since.get(each.namespace, now) for each in gone}
        self._compared_at = self.now()
        self.renames.tell_of_namesakes(asked, there)
        for each in gone:
            if self.heard.has_passed(self._since[each.namespace]):
                self._is_missing(each, now.time)

    def _is_expected(self, collection: FedGeneration) -> bool:
        """Whether there should be such a collection, or the stream has still to tell what became of it."""
        phase = self.loads[collection.namespace].phase
        may_be_elsewhere = phase == "reconciling" and collection.settings.follows
        return phase == "live" or may_be_elsewhere or collection.source != collection.namespace

    def _is_missing(self, collection: FedGeneration, since: int) -> None:
        load = self.loads[collection.namespace]
        with self.turns.of_load():
            if load.phase in ("live", "reconciling"):
                stays_away(collection, load, since=since, by="not found")
            self.renames.lost(collection, load, since)
            self.renames.require_known([collection], self.ending)
        del self._since[collection.namespace]
