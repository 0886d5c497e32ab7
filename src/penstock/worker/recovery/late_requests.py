"""Requests of a load that may arrive after its end, because nobody knows what became of them.

A shard that starts again forgets deletes, and takes what was read before them. So the index is swept when its shards
were started since the load began: at once, again after growing pauses, and when no request can be under way any more.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from penstock.model import Namespace, seconds_of
from penstock.mongo.connection import cluster_time
from penstock.opensearch.index.indexes import Generation
from penstock.opensearch.state.load_state import LoadState
from penstock.planner import FedGeneration
from penstock.wiring import Adapters

_PAUSE_S = 5.0
_LONGER = 3

Loads = Mapping[Namespace, LoadState]


@dataclass
class _Index:
    """An index that a request may reach `until` then (time.monotonic). `begun_with` are the engines before the load."""

    name: str
    until: float
    begun_with: list[str] | None
    seen: list[str]
    sweep_at: float
    pause_s: float = _PAUSE_S


@dataclass
class LateRequests:
    """Watches the indexes of loaded collections for some minutes; `sweep` sweeps one. Used by the loading threads."""

    adapters: Adapters
    sweep: Callable[[FedGeneration], None]
    _indexes: dict[Namespace, _Index] = field(default_factory=dict)
    _looked_at: float | None = None

    def expect(
        self, collection: FedGeneration, load: LoadState, index: str, *, since: float, engines: list[str]
    ) -> None:
        """Watch the index of a load that was swept, or found intact: what was sent before `since` may still arrive."""
        until, begun_with = since + self.adapters.intervals.send_within_s, load.engines
        sweep_at = math.inf if engines == begun_with else time.monotonic() + _PAUSE_S
        self._indexes[collection.namespace] = _Index(index, until, begun_with, engines, sweep_at)

    def expect_of_earlier_terms(
        self, collections: Iterable[FedGeneration], loads: Loads, generations: Mapping[Namespace, Generation]
    ) -> None:
        """Watch what was loaded a short time ago, in an earlier term: nobody knows what that had no answer to."""
        live = [each for each in collections if loads[each.namespace].phase == "live" and loads[each.namespace].engines]
        now_s = seconds_of(self.adapters.ask(cluster_time)) if live else 0
        for each in live:
            load = loads[each.namespace]
            ago_s = now_s - seconds_of(load.whole_at)
            if ago_s < self.adapters.intervals.send_within_s:
                index, since = generations[each.namespace].index, time.monotonic() - ago_s
                self.expect(each, load, index, since=since, engines=load.engines or [])

    def look(self, collections: Iterable[FedGeneration]) -> None:
        """Sweep what is to be swept, if it is time to look."""
        now, every_s = time.monotonic(), self.adapters.intervals.indexes_s
        if not self._indexes or (self._looked_at is not None and now < self._looked_at + every_s):
            return
        self._looked_at = now
        for collection in collections:
            if index := self._indexes.get(collection.namespace):
                self._look(collection, index)
                if time.monotonic() >= index.until:
                    del self._indexes[collection.namespace]

    def _look(self, collection: FedGeneration, index: _Index) -> None:
        engines, now = self.adapters.indexes.engines(index.name), time.monotonic()
        if not engines:
            return
        if engines != index.seen:
            index.seen, index.sweep_at, index.pause_s = engines, now, _PAUSE_S
        is_last = now >= index.until and engines != index.begun_with
        if is_last or now >= index.sweep_at:
            self.sweep(collection)
            index.sweep_at, index.pause_s = time.monotonic() + index.pause_s, index.pause_s * _LONGER
