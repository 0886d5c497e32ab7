"""Collections that disappeared without an event. DocumentDB emits none for renames and dropped databases.

Names are compared from time to time. What the stream still has to deliver comes first: a collection that is not there
has disappeared once the stream has delivered everything up to that look.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Final, NamedTuple

from penstock.model import Counts, Namespace, Position
from penstock.mongo.collections import present
from penstock.mongo.connection import cluster_time
from penstock.opensearch.state.load_state import LoadState
from penstock.planner import FedGeneration, Plan
from penstock.wiring import Adapters
from penstock.worker.collections.drops import stays_away
from penstock.worker.collections.renames import Renames
from penstock.worker.load_gate import LoadGate

_EMPTY_ANSWERS: Final = 3
"""Of this many settled answers without a change, the last was surely asked for after the first."""


class WatermarkMoment(NamedTuple):
    """A cluster time, and how many empty answers there were before it."""

    time: int
    empty: int


@dataclass
class StreamWatermark:
    """Whether the stream has delivered everything up to a cluster time. Set by the stream's thread, read by another.

    `by_time`: a secondary may be behind, so that its empty answers say nothing of the primary's time.
    """

    by_time: bool = False
    _time: int = 0
    _empty: int = 0

    def settled(self, position: Position, counts: Counts) -> None:
        """Note that a batch is safe. Only where idle answers do not say how far they reach, their number does."""
        self._time = position.time
        self._empty += not counts.read and not position.source_time

    def moment(self, time: int) -> WatermarkMoment:
        """Return the present moment, when the source's cluster time is `time`."""
        return WatermarkMoment(time, self._empty)

    def has_passed(self, moment: WatermarkMoment) -> bool:
        """Whether everything that happened before the moment was delivered and is safe."""
        if self._time >= moment.time:
            return True
        return not self.by_time and self._empty >= moment.empty + _EMPTY_ANSWERS


@dataclass
class Disappeared:
    """Finds the collections of one pipeline that disappeared."""

    plan: Plan
    adapters: Adapters
    loads: Mapping[Namespace, LoadState]
    gate: LoadGate
    renames: Renames
    ending: Event
    watermark: StreamWatermark = field(default_factory=StreamWatermark)
    now: Callable[[], float] = time.monotonic
    _since: dict[Namespace, WatermarkMoment] = field(default_factory=dict)
    _compared_at: float | None = None

    def look_if_due(self) -> None:
        """Compare names, more often while one seems to be missing. Raises Outdated, SourceUnavailable, Stopped."""
        every_s = self.adapters.intervals.disappeared_s
        if self._since or self._compared_at is None or self.now() - self._compared_at > every_s:
            self._look()

    def _look(self) -> None:
        asked = [each for each in self.plan.collections if self._is_expected(each)]
        names = [name.coll for each in asked for name in (each.source, each.namespace)]
        give_way = self.gate.give_way
        there = self.adapters.ask(present, self.plan.watch.db, names, stop=give_way) if names else set()
        now = self.watermark.moment(self.adapters.ask(cluster_time, stop=give_way))
        gone = [each for each in asked if each.source.coll not in there]
        self._since = {each.namespace: self._since.get(each.namespace, now) for each in gone}
        self._compared_at = self.now()
        self.renames.report_namesakes(asked, there)
        for each in gone:
            if self.watermark.has_passed(self._since[each.namespace]):
                self._take_away(each, now.time)

    def _is_expected(self, collection: FedGeneration) -> bool:
        """Whether there should be such a collection, or the stream has still to say what became of it."""
        phase = self.loads[collection.namespace].phase
        may_be_elsewhere = phase == "reconciling" and collection.settings.follows
        return phase == "live" or may_be_elsewhere or collection.source != collection.namespace

    def _take_away(self, collection: FedGeneration, since: int) -> None:
        load = self.loads[collection.namespace]
        with self.gate.for_load():
            if load.phase in ("live", "reconciling"):
                stays_away(collection, load, since=since, by="not found")
            self.renames.fall_back(collection, load, since)
            self.renames.require_known([collection], self.ending)
        del self._since[collection.namespace]
