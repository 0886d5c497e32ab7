"""Changes that others brought (an event source mapping, a queue), applied once: no lease, no position of our own.

The same pipeline as the worker's does it, from a source that holds one batch.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from penstock.delivery.lookup import looked_up, newest_last
from penstock.documents.document_id import document_id
from penstock.model import Batch, Change, Counts, Namespace, Position, SourceTransform
from penstock.mongo.collections import committed_time, exists, find_by_ids
from penstock.opensearch.index.indexes import Generation
from penstock.opensearch.state.shared_load import UNFINISHED
from penstock.pipeline.pipeline import Pipeline, PipelineRules, Ports
from penstock.pipeline.transform import Route, apply_transform
from penstock.planner import FedGeneration, Plan
from penstock.runtime.backoff import Backoff
from penstock.wiring import Adapters
from penstock.worker.collections.drops import affects, indexed, taken_away
from penstock.worker.recovery.source_rewind import require_same_source
from penstock.worker.sweep import IndexedId, SourceIds, sweep


class NothingKept:
    """A checkpoint for whom someone else keeps the position."""

    def load(self) -> Position | None:
        """There is none."""
        return None

    def save(self, position: Position) -> None:
        """Keep nothing: the caller learns by the return that everything is safe."""


@dataclass
class OneBatch:
    """A `penstock.ports.Source` of changes at hand; looks up the `unresolved` ones each time it is read.

    It is read again after a request whose answer was lost, so `again` waits before that. `in_order`: no older change of
    a document follows a newer one.
    """

    changes: Sequence[Change]
    position: Position
    adapters: Adapters
    again: Backoff
    in_order: bool = True
    reads: int = 0

    def batches(
        self,
        after: Position | None,  # noqa: ARG002 (of the port)
        transform: SourceTransform,
    ) -> Iterator[Batch]:
        """Yield the one batch. Raises SourceUnavailable, Stopped."""
        if self.reads:
            self.again.wait()
        self.reads += 1
        read_at = time.monotonic()
        changes = list(self.changes)
        if any(change.kind == "unresolved" for change in changes):  # may be read again, and documents are used up
            kept = [change._replace(document=deepcopy(change.document)) for change in changes]
            changes = looked_up(kept, self.adapters)
        if not self.in_order:
            changes = newest_last(changes)
        yield Batch(apply_transform(changes, transform), self.position, read_at)

    def close(self) -> None:
        """There is nothing to close."""


@dataclass
class Applier:
    """Applies changes to the generations of one plan.

    `dead_letter_limit`: another one than the settings', for changes of which many are expected to be refused.
    """

    plan: Plan
    adapters: Adapters
    generations: Mapping[Namespace, Generation]
    dead_letter_limit: int | None = None
    in_order: bool = True
    """Whether the changes come in the order of the source: everything before a control change has been applied then."""

    def apply(self, changes: Sequence[Change], position: Position, stop: threading.Event) -> Counts:
        """Apply the changes, in order, and answer what became of them; `unresolved` ones are looked up first.

        Doing it twice changes nothing. Raises Stopped, SourceUnavailable, SinkUnavailable, SystemicFault; then nobody
        knows which of them were applied.
        """
        collections = {each.namespace: each for each in self.plan.collections}
        read_outside = any(change.kind == "unresolved" for change in changes)
        if read_outside:
            require_same_source(self.adapters)
        batch = OneBatch(changes, position, self.adapters, Backoff(stop), in_order=self.in_order)
        pipeline = Pipeline(
            name=self.plan.name,
            ports=Ports(
                lambda: batch,
                self.adapters.sink,
                self.adapters.dead_letters,
                NothingKept(),
            ),
            routes={
                name: Route(self.generations[name].write_alias, each.transform.bodies)
                for name, each in collections.items()
            },
            rules=self._rules(outside_the_stream=read_outside),
            metrics=self.adapters.metrics,
            on_control=self.on_control,
        )
        pipeline.run(stop)
        if read_outside:
            self._delete_gone(changes)
        return pipeline.counts

    def _delete_gone(self, changes: Sequence[Change]) -> None:
        """Delete what the source no longer holds.

        When a shard starts again it forgets deletes, and may have taken the state that was read before such a one.
        """
        read: dict[Namespace, list[IndexedId]] = {}
        for each in changes:
            if each.kind == "unresolved":
                read.setdefault(each.namespace, []).append(IndexedId(document_id(each.id), each.id))
        within_s = self.adapters.intervals.send_within_s
        for collection in self.plan.collections:
            if page := read.get(collection.namespace):
                alias, held = self.generations[collection.namespace].write_alias, partial(self._held, collection)
                sweep([page], held, self.adapters.sink, alias=alias, send_within_s=within_s)

    def _held(self, collection: FedGeneration, source_ids: Sequence[Any]) -> SourceIds:
        """Which of these the source holds; all of them while there is no such collection: it takes away nothing."""
        ask, namespace = self.adapters.ask, collection.source
        version, found = ask(committed_time, namespace), ask(find_by_ids, namespace, source_ids)
        return SourceIds(version, found if ask(exists, namespace) else source_ids)

    def _rules(self, *, outside_the_stream: bool) -> PipelineRules:
        rules = self.adapters.rules(outside_the_stream=outside_the_stream)
        return rules if self.dead_letter_limit is None else replace(rules, dead_letter_limit=self.dead_letter_limit)

    def on_control(self, change: Change) -> None:
        """Do what the settings say of a dropped or renamed collection."""
        for each in self.plan.collections:
            if affects(change, each.names.at(change.version)):
                self._taken_away(each, change)

    def _taken_away(self, collection: FedGeneration, change: Change) -> None:
        generation = self.generations[collection.namespace]
        load = self.adapters.load_state(collection, generation).open()
        is_shared = load.plan is not None and load.phase in UNFINISHED
        if not self.in_order and load.phase == "live":
            load.enter("reconciling")  # before the index is emptied: what is older than the drop may still come
        taken_away(
            collection,
            change,
            load=load,
            documents=indexed(self.adapters.client, self.adapters.patience, generation.index),
            sink=self.adapters.sink,
            alias=generation.write_alias,
        )
        if not self.in_order or is_shared:
            return  # what others read before the drop may still come: it is to be loaded again
        if load.phase == "reconciling" and change.to != collection.names.at(change.version):
            load.enter("live", whole_at=change.version)  # it was emptied, and all that comes after that is brought
