"""The loads of one pipeline, and what becomes of a collection that was dropped or renamed.

loading       not every document was read yet; goes on where it stopped
live          the stream keeps the index in step
dropped       the collection is gone, its documents are kept until it is back
reconciling   loaded anew into the same index, then swept: what the collection does not hold is deleted
"""

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from penstock.build import Adapters, Collection, Plan
from penstock.change import Change, Counts, Namespace, Position
from penstock.document_id import read, read_key
from penstock.errors import ReadAgain, Stopped
from penstock.metrics import Metrics
from penstock.mongo.collections import committed_time, estimated_count, exists, find_by_ids
from penstock.opensearch.load_state import LoadState
from penstock.opensearch.mapping import GC_DELETES_S
from penstock.opensearch.scan import scan
from penstock.operations.progress import LoadResult, Progress
from penstock.operations.starting import Start
from penstock.operations.sweep import Held, Indexed, empty, sweep
from penstock.pipeline import Pipeline, Ports
from penstock.ports import Sink
from penstock.prepare import Routes

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 5.0
"""How often it is looked whether a dropped collection is back."""


@dataclass
class Loading:
    """Loads the collections of one pipeline, one after the other, within one term of its lease."""

    plan: Plan
    adapters: Adapters
    begun: Start
    routes: Routes
    sink: Sink
    metrics: Metrics
    ending: threading.Event

    def keep_loaded(self, progress: Progress, *, on_loaded: Callable[[], None]) -> None:
        """Load what is not loaded, and reconcile what was dropped once it is back, until the term ends."""
        while True:
            self.load_all(progress)
            on_loaded()
            if self.ending.wait(_LOOK_EVERY_S):
                raise Stopped("the term ends")

    def load_all(self, progress: Progress, *, only: frozenset[Namespace] | None = None) -> list[LoadResult]:
        """Load every collection that has to be (of `only`); answers a result for each of them."""
        asked = [each for each in self.plan.collections if only is None or each.namespace in only]
        waiting = [each for each in asked if self._is_due(each)]
        return [self._load(each, progress) for each in waiting]

    def on_control(self, change: Change) -> None:
        """Apply the policy of each collection that a control change took away; nothing else is in flight meanwhile."""
        gone, made = _touched(change)
        for each in self.plan.collections:
            name = each.namespace
            if name not in (gone, made) and not (change.kind == "drop_database" and name.db == change.namespace.db):
                continue
            load = self.begun.loads[name]
            if each.settings.on_drop == "keep":
                load.enter("dropped")
                log.warning("collection gone, documents kept", collection=str(name), event=change.kind)
                continue
            deleted = empty(self._indexed(each), self.sink, alias=self._alias(name), version=change.version)
            log.warning("collection gone, index emptied", collection=str(name), event=change.kind, documents=deleted)
            if name == made:
                load.enter("loading")

    def _is_due(self, collection: Collection) -> bool:
        load = self.begun.loads[collection.namespace]
        if load.phase == "dropped" and exists(self.adapters.connection.client, collection.namespace):
            load.enter("reconciling")
        return load.phase in ("loading", "reconciling")

    def _load(self, collection: Collection, progress: Progress) -> LoadResult:
        load, name = self.begun.loads[collection.namespace], str(collection.namespace)
        phase = load.phase
        log.info("load begins", collection=name, phase=phase, resumed=load.load() is not None)
        progress.started(name, estimated_count(self.adapters.connection.client, collection.namespace))
        began, cpu = time.monotonic(), time.process_time()
        pipeline = self._pipeline(collection, load, progress)
        pipeline.run(self.ending)
        deleted = self._sweep(collection) if phase == "reconciling" else 0
        if load.phase == phase:
            load.enter("live")
        progress.finished(name)
        seconds = time.monotonic() - began
        counts = pipeline.counts
        log.info("load ends", collection=name, documents=counts.read, swept=deleted, seconds=round(seconds, 1))
        return LoadResult(name, counts.read, seconds, time.process_time() - cpu, peak_memory_bytes(), counts)

    def _pipeline(self, collection: Collection, load: LoadState, progress: Progress) -> Pipeline:
        name = str(collection.namespace)
        adapters = self.adapters

        def settled(_: Position, counts: Counts) -> None:
            progress.advanced(name, counts.read)

        return Pipeline(
            name=self.plan.name,
            ports=Ports(lambda: adapters.load(collection), self.sink, adapters.dead_letters, load),
            routes=self.routes,
            rules=adapters.rules(outside_the_stream=True),
            metrics=self.metrics,
            on_settled=settled,
        )

    def _sweep(self, collection: Collection) -> int:
        """Delete what the collection does not hold; again from the start when a page became too old."""
        namespace, client = collection.namespace, self.adapters.connection.client

        def held(keys: Sequence[Any]) -> Held:
            version = committed_time(client, namespace)
            return Held(version, find_by_ids(client, namespace, keys))

        while True:
            try:
                return sweep(
                    self._indexed(collection),
                    held,
                    self.sink,
                    alias=self._alias(namespace),
                    send_within_s=GC_DELETES_S / 2,
                )
            except ReadAgain as reason:
                log.info("sweeping again", collection=str(namespace), reason=str(reason))

    def _indexed(self, collection: Collection) -> Iterator[list[Indexed]]:
        """The documents of the collection's index, in pages."""
        index = self.begun.generations[collection.namespace].index
        for page in scan(self.adapters.client, self.adapters.patience, index):
            yield [Indexed(each.id, read_key(each.key) if each.key else read(each.id)) for each in page]

    def _alias(self, namespace: Namespace) -> str:
        return self.begun.generations[namespace].write_alias


def _touched(change: Change) -> tuple[Namespace | None, Namespace | None]:
    """The collection that a control change took away, and the one that it put other documents into."""
    if change.kind in ("drop", "rename"):
        return change.namespace, change.to
    return None, None


def peak_memory_bytes() -> int:
    """The most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
