"""The loads of one pipeline, within one term of its lease.

loading       not every document was read yet; goes on where it stopped
live          the stream keeps the index in step
dropped       the collection is gone, its documents are kept until it is back, or until its grace period is over
reconciling   loaded again into the same index, then swept: what the collection does not hold is deleted
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import structlog

from penstock.errors import Stopped
from penstock.model import Counts, Namespace, Position
from penstock.mongo.collections import committed_time, estimated_count, find_by_ids
from penstock.mongo.connection import cluster_time
from penstock.mongo.load import MongoLoad
from penstock.observe.metrics import Metrics
from penstock.opensearch.read.ignored import ignored_values
from penstock.opensearch.state.load_state import LoadState
from penstock.pipeline.pipeline import Pipeline, Ports
from penstock.pipeline.transform import Routes
from penstock.planner import FedGeneration, Plan
from penstock.ports import Sink
from penstock.runtime.threads import side_by_side
from penstock.wiring import Adapters
from penstock.worker.collections.lifecycle import Lifecycle
from penstock.worker.load_gate import LoadGate
from penstock.worker.progress import LoadResult, Progress, peak_memory_bytes
from penstock.worker.recovery.late_requests import LateRequests
from penstock.worker.recovery.source_rewind import RewindGuard
from penstock.worker.startup import Startup
from penstock.worker.sweep import SourceIds, sweep

log = structlog.get_logger(__name__)

T = TypeVar("T")


class SharesLoads(Protocol):
    """Has several processes read a collection in the place of this one alone."""

    def shares(self, collection: FedGeneration) -> bool:
        """Whether they read this collection."""

    def copy(
        self, plan: Plan, collection: FedGeneration, load: LoadState, progress: Progress, stop: threading.Event
    ) -> Counts:
        """Return what became of the documents once all of them are in the index or dead letters, by any process.

        Raises Stopped, LeaseLost, SourceUnavailable, SinkUnavailable, SystemicFault.
        """


@dataclass
class Loader:
    """Loads the collections of one pipeline, a few at a time."""

    plan: Plan
    adapters: Adapters
    startup: Startup
    routes: Routes
    lifecycle: Lifecycle
    gate: LoadGate
    metrics: Metrics
    ending: threading.Event
    sharing: SharesLoads | None = None
    _sink: Sink = field(init=False)
    _late: LateRequests = field(init=False)

    def __post_init__(self) -> None:
        self._sink = RewindGuard(self.adapters.load_sink, self.adapters, self.startup.generations.values())
        self._late = LateRequests(self.adapters, self._sweep_again)

    def keep_loaded(self, progress: Progress, *, on_loaded: Callable[[], None]) -> None:
        """Load what is not loaded, and reconcile what was dropped once it is back, until the term ends."""
        changed = self.lifecycle.changed
        self._late.expect_of_earlier_terms(self.plan.collections, self.startup.loads, self.startup.generations)
        while not self.ending.is_set():
            changed.clear()
            self.load_all(progress)
            on_loaded()
            self._late.look(self.plan.collections)
            self.lifecycle.look_if_due()
            changed.wait(self.adapters.intervals.collections_s)
        raise Stopped("the term ends")

    def load_all(self, progress: Progress, *, only: frozenset[Namespace] | None = None) -> list[LoadResult]:
        """Load every collection that has to be (of `only`). Return a result for each of them."""
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

    def _load_if_due(self, collection: FedGeneration, progress: Progress) -> LoadResult | None:
        """Load a collection that has to be; begins again when the stream brought a drop or a rename meanwhile."""
        while True:
            try:
                with self.gate.for_load():
                    is_due = self.lifecycle.is_to_be_loaded(collection)
                    return self._load(collection, progress) if is_due else None
            except Stopped as stopped:
                if self.ending.is_set():
                    raise
                log.info("load interrupted", collection=str(collection.namespace), reason=str(stopped))

    def _load(self, collection: FedGeneration, progress: Progress) -> LoadResult:
        load, name = self.startup.loads[collection.namespace], str(collection.namespace)
        generation = self.startup.generations[collection.namespace]
        begun_before = not self._note_engines(load, generation.index)
        phase, index = load.phase, generation.index
        resumed = load.load() is not None or load.plan is not None
        log.info("load begins", collection=name, index=index, phase=phase, resumed=resumed)
        version = self._ask(committed_time, collection.source)
        progress.started(name, self._ask(estimated_count, collection.source))
        began, cpu = time.monotonic(), time.process_time()
        counts = self._copy(collection, load, progress)
        engines = self.adapters.indexes.engines(generation.index)
        is_swept = phase == "reconciling" or not engines or load.engines != engines
        if is_swept and phase == "loading":
            log.info("shards may have started during the load; looking for documents that were deleted", index=index)
        deleted = self._sweep(collection, generation.write_alias) if is_swept else 0
        unknown_since = time.monotonic() if load.plan else began if begun_before else None
        if last_at := self.adapters.load_unanswered_at or unknown_since:
            self._late.expect(collection, load, index, since=last_at, engines=engines)
        if not resumed:  # every document was read since: older letters have been answered by a write or a newer letter
            self.adapters.dead_letters.clear(generation.write_alias, before=version)
        load.enter("live", whole_at=self._ask(cluster_time))
        progress.finished(name)
        seconds = time.monotonic() - began
        log.info(
            "load ends", collection=name, index=index, documents=counts.read, swept=deleted, seconds=round(seconds, 1)
        )
        cpu_s = time.process_time() - cpu
        ignored = ignored_values(self.adapters.client, self.adapters.patience, index, refreshed=True)
        if ignored and ignored.documents:
            log.warning("values do not fit the mapping", collection=name, index=index, fields=dict(ignored.fields))
        ranges = load.plan.ranges if load.plan else 0
        return LoadResult(name, counts.read, seconds, cpu_s, peak_memory_bytes(), counts, ignored, ranges)

    def _copy(self, collection: FedGeneration, load: LoadState, progress: Progress) -> Counts:
        """Bring all documents into the index, or to the dead letters."""
        if self.sharing and self.sharing.shares(collection):
            return self.sharing.copy(self.plan, collection, load, progress, self.gate.give_way)
        pipeline = self._pipeline(collection, load, progress)
        pipeline.run(self.gate.give_way)
        return pipeline.counts

    def _note_engines(self, load: LoadState, index: str) -> bool:
        """Keep which engines the index has before the first document is read; return False if that was long ago."""
        is_first = load.load() is None and load.plan is None and load.engines is None
        if is_first:
            load.save_engines(self.adapters.indexes.engines(index))
        return is_first

    def _sweep_again(self, collection: FedGeneration) -> None:
        """Sweep a collection that is live. One that was dropped or renamed meanwhile is seen to elsewhere."""
        generation = self.startup.generations[collection.namespace]
        try:
            with self.gate.for_load():
                is_live = self.startup.loads[collection.namespace].phase == "live"
                deleted = self._sweep(collection, generation.write_alias) if is_live else 0
        except Stopped as stopped:
            if self.ending.is_set():
                raise
            log.info("the look for deleted documents was interrupted", index=generation.index, reason=str(stopped))
        else:
            log.info("looked again for documents that were deleted", index=generation.index, swept=deleted)

    def _pipeline(self, collection: FedGeneration, load: LoadState, progress: Progress) -> Pipeline:
        name = str(collection.namespace)
        adapters = self.adapters

        def source() -> MongoLoad:
            return adapters.load(collection, self.gate.give_way)

        def settled(_: Position, counts: Counts) -> None:
            progress.advanced(name, counts.read)

        return Pipeline(
            name=self.plan.name,
            ports=Ports(source, self._sink, adapters.dead_letters, load),
            routes=self.routes,
            rules=adapters.rules(of_load=True),
            metrics=self.metrics,
            on_settled=settled,
        )

    def _sweep(self, collection: FedGeneration, alias: str) -> int:
        """Delete what the collection does not hold. Return how many deletes were sent."""
        namespace, send_within_s = collection.namespace, self.adapters.intervals.send_within_s

        def held(source_ids: Sequence[Any]) -> SourceIds:
            version = self._ask(committed_time, collection.source)
            found = self._ask(find_by_ids, collection.source, source_ids)
            if self.gate.give_way.is_set() or self.lifecycle.is_kept_while_absent(collection):
                raise Stopped(f"{namespace} was dropped or renamed")
            return SourceIds(version, found)

        indexed = self.lifecycle.indexed(collection)
        return sweep(indexed, held, self._sink, alias=alias, send_within_s=send_within_s)

    def _ask(self, question: Callable[..., T], *arguments: object) -> T:
        return self.adapters.ask(question, *arguments, stop=self.gate.give_way)
