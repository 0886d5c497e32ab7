"""What becomes of the collections of one pipeline that are dropped, renamed, or gone without an event; within one term.

on_control       a drop or a rename in the stream, in its place among the changes
look_if_due      collections that are gone without an event
is_to_be_loaded  whether a collection is to be loaded: a dropped one once it is back
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from penstock.model import Change, Counts, Namespace, Position
from penstock.mongo.collections import committed_time, exists
from penstock.mongo.connection import cluster_time
from penstock.opensearch.state.load_state import LoadState
from penstock.planner import FedGeneration, Plan
from penstock.ports import Sink
from penstock.runtime.threads import ChildEvent
from penstock.wiring import Adapters
from penstock.worker.collections.disappeared import Disappeared, StreamWatermark
from penstock.worker.collections.drops import affects, indexed, stays_away, taken_away
from penstock.worker.collections.renames import Renames
from penstock.worker.load_gate import LoadGate
from penstock.worker.startup import Startup
from penstock.worker.sweep import IndexedId, empty

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass
class Lifecycle:
    """Used by the thread of the stream and by those of the loads; `gate` keeps them apart."""

    plan: Plan
    adapters: Adapters
    startup: Startup
    sink: Sink
    gate: LoadGate
    ending: threading.Event
    changed: ChildEvent = field(init=False)
    """Set when the stream brought a drop or a rename: a collection may have to be loaded."""
    _renames: Renames = field(init=False)
    _disappeared: Disappeared = field(init=False)

    def __post_init__(self) -> None:
        self.changed = ChildEvent(self.ending)
        self._renames = Renames(self.adapters)
        self._disappeared = Disappeared(
            self.plan,
            self.adapters,
            self.startup.loads,
            self.gate,
            self._renames,
            self.ending,
            watermark=StreamWatermark(by_time=self.adapters.connection.streams_from_secondary),
        )

    def settled(self, position: Position, counts: Counts) -> None:
        """Note that a batch of the stream is safe."""
        self._disappeared.watermark.settled(position, counts)

    def look_if_due(self) -> None:
        """Look for collections that are gone without an event. Raises Outdated, SourceUnavailable, Stopped."""
        self._disappeared.look_if_due()

    def on_control(self, change: Change) -> None:
        """Apply the policy of each collection that a control change took away; nothing else is in flight meanwhile."""
        affected = [each for each in self.plan.collections if affects(change, each.names.at(change.version))]
        if not affected:
            return
        with self.gate.for_stream():
            for each in affected:
                if not self._renames.follow(each, change, self.startup.loads[each.namespace]):
                    self._take_away(each, change)
            self._renames.require_known(affected, self.ending)
        self.changed.set()

    def is_to_be_loaded(self, collection: FedGeneration) -> bool:
        """Whether a collection is to be loaded now; one whose grace period is over has its index emptied first."""
        load = self.startup.loads[collection.namespace]
        if load.phase == "dropped" and self._exists(collection):
            load.enter("reconciling")
        elif load.phase == "dropped" and load.empty_at and self._ask(cluster_time) >= load.empty_at:
            self._empty(collection, load)
        elif load.phase == "reconciling" and self.is_kept_while_absent(collection):
            if collection.settings.follows:
                return False  # the stream may still bring its new name; `look_if_due` sees to it after that
            stays_away(collection, load, since=self._ask(cluster_time), by="not found")
        return load.phase in ("loading", "reconciling")

    def is_kept_while_absent(self, collection: FedGeneration) -> bool:
        """Whether there is no such collection at present, so that its index must stay as it is."""
        return collection.settings.is_awaited and not self._exists(collection)

    def indexed(self, collection: FedGeneration) -> Iterator[list[IndexedId]]:
        """The documents of a collection's index, in pages. Raises Stopped between them."""
        index = self.startup.generations[collection.namespace].index
        return indexed(self.adapters.client, self.adapters.patience, index)

    def _take_away(self, collection: FedGeneration, change: Change) -> None:
        name = collection.namespace
        load, documents = self.startup.loads[name], self.indexed(collection)
        taken_away(collection, change, load=load, documents=documents, sink=self.sink, alias=self._alias(name))
        if change.to != collection.names.at(change.version):
            self._renames.fall_back(collection, load, change.version)

    def _empty(self, collection: FedGeneration, load: LoadState) -> None:
        """The grace period is over; what comes after this look is newer, and stays."""
        version = self._ask(committed_time, collection.source)
        if self._exists(collection):
            return
        deleted = empty(self.indexed(collection), self.sink, alias=self._alias(collection.namespace), version=version)
        load.enter("dropped")
        log.warning("collection stayed away, index emptied", collection=str(collection.namespace), documents=deleted)

    def _exists(self, collection: FedGeneration) -> bool:
        return self._ask(exists, collection.source)

    def _ask(self, question: Callable[..., T], *arguments: object) -> T:
        return self.adapters.ask(question, *arguments, stop=self.gate.give_way)

    def _alias(self, namespace: Namespace) -> str:
        return self.startup.generations[namespace].write_alias
