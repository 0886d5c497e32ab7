"""The loads of one pipeline, and what becomes of a collection that was dropped or renamed.

loading       not every document was read yet; goes on where it stopped
live          the stream keeps the index in step
dropped       the collection is gone, its documents are kept until it is back, or until its grace period is over
reconciling   loaded anew into the same index, then swept: what the collection does not hold is deleted
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from penstock.errors import ReadAgain, Stopped
from penstock.model import Change, Counts, Namespace, Position
from penstock.mongo.collections import committed_time, estimated_count, exists, find_by_ids
from penstock.mongo.connection import cluster_time
from penstock.mongo.load import MongoLoad
from penstock.observe.metrics import Metrics
from penstock.opensearch.state.load_state import LoadState
from penstock.pipeline.fold import Routes
from penstock.pipeline.pipeline import Pipeline, Ports
from penstock.planner import FedGeneration, Plan
from penstock.ports import Sink
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.wiring import Adapters
from penstock.worker.collections.disappeared import Disappeared
from penstock.worker.collections.drops import affects, indexed, stays_away, taken_away
from penstock.worker.collections.renames import Renames
from penstock.worker.load_gate import LoadGate
from penstock.worker.progress import LoadResult, Progress, peak_memory_bytes
from penstock.worker.recovery.source_rewind import RewindGuard
from penstock.worker.startup import Startup
from penstock.worker.sweep import IndexedId, SourceIds, empty, sweep

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass
class Loader:
    """Loads the collections of one pipeline, a few at a time, within one term of its lease."""

    plan: Plan
    adapters: Adapters
    begun: Startup
    routes: Routes
    sink: Sink
    metrics: Metrics
    ending: threading.Event
    _turns: LoadGate = field(init=False)
    _look: ChildEvent = field(init=False)
    _sink_of_loads: Sink = field(init=False)
    _renames: Renames = field(init=False)
    _missing: Disappeared = field(init=False)

    def __post_init__(self) -> None:
        self._turns = LoadGate(self.ending)
        self._look = ChildEvent(self.ending)
        generations = self.begun.generations.values()
        self._sink_of_loads = RewindGuard(self.adapters.sink_of_loads, self.adapters, generations)
        self._renames = Renames(self.adapters)
        self._missing = Disappeared(self.plan, self.adapters, self.begun.loads, self._turns, self._renames, self.ending)

    def settled(self, position: Position, counts: Counts) -> None:
        """Hear that a batch of the stream is safe."""
        self._missing.heard.settled(position, counts)

    def keep_loaded(self, progress: Progress, *, on_loaded: Callable[[], None]) -> None:
        """Load what is not loaded, and reconcile what was dropped once it is back, until the term ends."""
        while not self.ending.is_set():
            self._look.clear()
            self.load_all(progress)
            on_loaded()
            self._missing.look_if_due()
            self._look.wait(self.adapters.intervals.collections_s)
        raise Stopped("the term ends")

    def load_all(self, progress: Progress, *, only: frozenset[Namespace] | None = None) -> list[LoadResult]:
        """Load every collection that has to be (of `only`); answers a result for each of them."""
        asked = [each for each in self.plan.collections if only is None or each.namespace in only]
        waiting, results = iter(asked), list[LoadResult]()

        def load() -> None:
            while not self.ending.is_set() and (each := next(waiting, None)):
                if result := self._load_if_due(each, progress):
                    results.append(result)

        side_by_side(self.ending, *[load] * min(self.adapters.loads_at_once, len(asked)))
        if self.ending.is_set():
            raise Stopped("the term ends")
        return results

    def on_control(self, change: Change) -> None:
        """Apply the policy of each collection that a control change took away; nothing else is in flight meanwhile."""
        affected = [each for each in self.plan.collections if affects(change, each.names.at(change.version))]
        if not affected:
            return
        with self._turns.of_stream():
            for each in affected:
                if not self._renames.follow(each, change, self.begun.loads[each.namespace]):
                    self._taken_away(each, change)
            self._renames.require_known(affected, self.ending)
        self._look.set()

    def _taken_away(self, collection: FedGeneration, change: Change) -> None:
        name = collection.namespace
        load, documents = self.begun.loads[name], self._indexed(collection)
        taken_away(collection, change, load=load, documents=documents, sink=self.sink, alias=self._alias(name))
        if change.to != collection.names.at(change.version):
            self._renames.lost(collection, load, change.version)

    def _load_if_due(self, collection: FedGeneration, progress: Progress) -> LoadResult | None:
        """Load a collection that has to be; begins again when the stream brought a drop or a rename meanwhile."""
        while True:
            try:
                with self._turns.of_load():
                    return self._load(collection, progress) if self._is_due(collection) else None
            except Stopped as stopped:
                if self.ending.is_set():
                    raise
                log.info("load gives way", collection=str(collection.namespace), reason=str(stopped))

    def _is_due(self, collection: FedGeneration) -> bool:
        load = self.begun.loads[collection.namespace]
        if load.phase == "dropped" and self._exists(collection):
            load.enter("reconciling")
        elif load.phase == "dropped" and load.empty_at and self._ask(cluster_time) >= load.empty_at:
            self._empty(collection, load)
        elif load.phase == "reconciling" and self._is_to_be_kept(collection):
            if collection.settings.follows:
                return False  # the stream may still tell of its new name; `_missing` sees to it after that
            stays_away(collection, load, since=self._ask(cluster_time), by="not found")
        return load.phase in ("loading", "reconciling")

    def _empty(self, collection: FedGeneration, load: LoadState) -> None:
        """The grace period is over; what comes after this look is newer, and stays."""
        version = self._ask(committed_time, collection.source)
        if self._exists(collection):
            return
        deleted = empty(self._indexed(collection), self.sink, alias=self._alias(collection.namespace), version=version)
        load.enter("dropped")
        log.warning("collection stayed away, index emptied", collection=str(collection.namespace), documents=deleted)

    def _load(self, collection: FedGeneration, progress: Progress) -> LoadResult:
        load, name = self.begun.loads[collection.namespace], str(collection.namespace)
        phase, resumed, index = load.phase, load.load() is not None, self.begun.generations[collection.namespace].index
        log.info("load begins", collection=name, index=index, phase=phase, resumed=resumed)
        version = self._ask(committed_time, collection.source)
        progress.started(name, self._ask(estimated_count, collection.source))
        began, cpu = time.monotonic(), time.process_time()
        pipeline = self._pipeline(collection, load, progress)
        pipeline.run(self._turns.give_way)
        deleted = self._sweep(collection) if phase == "reconciling" else 0
        if not resumed:  # every document was read since: older letters have been answered by a write or a newer letter
            self.adapters.dead_letters.clear(self._alias(collection.namespace), before=version)
        load.enter("live", whole_at=self._ask(cluster_time))
        progress.finished(name)
        seconds = time.monotonic() - began
        counts = pipeline.counts
        log.info(
            "load ends", collection=name, index=index, documents=counts.read, swept=deleted, seconds=round(seconds, 1)
        )
        return LoadResult(name, counts.read, seconds, time.process_time() - cpu, peak_memory_bytes(), counts)

    def _pipeline(self, collection: FedGeneration, load: LoadState, progress: Progress) -> Pipeline:
        name = str(collection.namespace)
        adapters = self.adapters

        def source() -> MongoLoad:
            return adapters.load(collection, self._turns.give_way)

        def settled(_: Position, counts: Counts) -> None:
            progress.advanced(name, counts.read)

        return Pipeline(
            name=self.plan.name,
            ports=Ports(source, self._sink_of_loads, adapters.dead_letters, load),
            routes=self.routes,
            rules=adapters.rules(outside_the_stream=True),
            metrics=self.metrics,
            on_settled=settled,
        )

    def _sweep(self, collection: FedGeneration) -> int:
        """Delete what the collection does not hold; again from the start when a page became too old."""
        namespace = collection.namespace

        def held(keys: Sequence[Any]) -> SourceIds:
            version = self._ask(committed_time, collection.source)
            found = self._ask(find_by_ids, collection.source, keys)
            if self._turns.give_way.is_set() or self._is_to_be_kept(collection):
                raise Stopped(f"{namespace} was taken away")
            return SourceIds(version, found)

        while True:
            try:
                return sweep(
                    self._indexed(collection),
                    held,
                    self._sink_of_loads,
                    alias=self._alias(namespace),
                    send_within_s=self.adapters.intervals.send_within_s,
                )
            except ReadAgain as reason:
                log.info("sweeping again", collection=str(namespace), reason=str(reason))

    def _indexed(self, collection: FedGeneration) -> Iterator[list[IndexedId]]:
        index = self.begun.generations[collection.namespace].index
        return indexed(self.adapters.client, self.adapters.patience, index)

    def _is_to_be_kept(self, collection: FedGeneration) -> bool:
        """Whether there is no such collection at present, so that its index must stay as it is."""
        return collection.settings.is_awaited and not self._exists(collection)

    def _exists(self, collection: FedGeneration) -> bool:
        return self._ask(exists, collection.source)

    def _ask(self, question: Callable[..., T], *arguments: object) -> T:
        return self.adapters.ask(question, *arguments, stop=self._turns.give_way)

    def _alias(self, namespace: Namespace) -> str:
        return self.begun.generations[namespace].write_alias
