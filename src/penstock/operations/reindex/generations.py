"""The generations of one collection as commands see them: who serves, how far each is, and the end of one.

Only the index is asked, so that all of it works while the source is away.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import structlog

from penstock.connections import sink_client
from penstock.errors import SettingsError, Stopped, SystemicFault
from penstock.observe.metrics import Metrics
from penstock.opensearch.dead_letters.store import OpenSearchDeadLetters
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.requests import require_server
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.indexes import Indexes
from penstock.opensearch.state.generations import CollectionRecord, GenerationRecord, GenerationRegistry
from penstock.opensearch.state.ids import group_id, index_id, load_id, pipeline_id, verify_id
from penstock.opensearch.state.samples import forget_samples
from penstock.opensearch.state.shared_load import LoadPlan, share_ids
from penstock.opensearch.state.store import StateDocument, StateStore
from penstock.opensearch.write.sink import OpenSearchSink
from penstock.planner import DeclaredCollection, Planner, pipeline_of, shared_pipeline
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings

log = structlog.get_logger(__name__)


class Generations:
    """The generations of a collection of which there is a record."""

    def __init__(
        self,
        settings: Settings,
        declared: DeclaredCollection,
        client: Client,
        stop: threading.Event,
        intervals: Intervals,
    ) -> None:
        patience = RetryForever(Metrics(), stop)
        self.declared = declared
        self.alias = declared.settings.alias
        self.name = str(declared.namespace)
        self.indexes = Indexes(client, patience)
        self._deployment = settings.pipeline.name
        self._group = settings.log.group
        self.is_mapped = bool(settings.brought_by(self.name))
        self.intervals = intervals
        self._stop = stop
        self._store = StateStore(client, patience)
        self._records = GenerationRegistry(self._store)
        self._letters = OpenSearchDeadLetters(
            client, OpenSearchSink(client, settings.sink, Metrics(), patience), patience
        )

    def record(self) -> CollectionRecord:
        """What is recorded now. Raises SettingsError when nothing is."""
        record = self._records.read([self.alias]).get(self.alias)
        if record is None:
            raise SettingsError(
                f"{self.name} has no index yet; create it with `penstock run` (or `penstock load {self.name}`)."
            )
        return record

    def change(self, change: Callable[[CollectionRecord], CollectionRecord]) -> CollectionRecord:
        """Change the record."""
        return self._records.change(self.alias, change)

    def settled(self) -> CollectionRecord:
        """The record, after a swap that was cut off before it was recorded: who has the read alias serves."""
        record, index = self.record(), self.indexes.behind(self.alias)
        others = (each for each in record.fed if each.role != "serving")
        moved_to = next((each.number for each in others if each.index == index), None)
        return record if moved_to is None else self.change(lambda now: now.served_by(moved_to))

    def swap(self, to: GenerationRecord) -> list[str]:
        """Let a generation serve: who searches sees the other one, or this one, and nothing between.

        Return the aliases of people that were moved with the read alias.
        Raises SystemicFault when somebody drops it meanwhile.
        """
        record = self.record()
        if record.numbered(to.number) is None:
            raise SystemicFault(f"{self.name}: {to.index} was abandoned in the meantime.")
        moved = self.indexes.swap(self.alias, to.index, ours={each.index for each in record.generations})
        self.change(lambda record: record.served_by(to.number))
        log.info("the read alias was moved", collection=self.name, alias=self.alias, index=to.index, along=moved)
        return moved

    def load(self, generation: GenerationRecord) -> StateDocument | None:
        """How far the load of a generation is."""
        return self._state(load_id(self.name, generation.index))

    def pipelines(self, generation: GenerationRecord) -> list[StateDocument]:
        """The states of the pipelines that feed a generation, or have fed it, by whatever cursors."""
        return [each for each in self._could_feed(generation) if generation.index in each["indexes"]]

    def letters(self, generation: GenerationRecord) -> int:
        """How many documents a generation has refused."""
        return self._letters.count_of(generation.write_alias)

    def drop(self, generation: GenerationRecord) -> None:
        """Delete a generation with all that is known of it, once no worker feeds it; begin again where it was cut off.

        Raises Stopped, SinkUnavailable, SystemicFault.
        """
        self.change(lambda record: record.changed(generation.number, role="dropping"))
        self._wait_until_let_go(generation)
        self._wait_for_sync_functions(generation)
        if self.indexes.behind(self.alias) == generation.index:
            self.change(lambda record: record.served_by(generation.number))
            raise SystemicFault(f"{self.name}: {self.alias} now points to {generation.index}, so it is not deleted.")
        self.indexes.delete(generation.index)
        self._letters.clear(generation.write_alias)
        own = self._pipeline_ids(generation) if generation.number > 1 else []
        index = generation.index
        plan = LoadPlan.of(self._state(load_id(self.name, index)))
        shares = share_ids(self.name, index, plan) if plan else ()
        of_index = [
            index_id(index),
            load_id(self.name, index),
            verify_id(self.name, index),
            group_id(f"{self._group}.{index}"),
        ]
        for state_id in [*shares, *of_index, *own]:
            self._store.delete(state_id)
        if generation.number > 1:
            forget_samples(self._store, pipeline_of(index))
        self.change(lambda record: record.without(generation.number))
        log.info("generation dropped", collection=self.name, index=generation.index)

    def _wait_until_let_go(self, generation: GenerationRecord) -> None:
        """Wait until each pipeline that could feed it has begun a term without it, or has no worker.

        A worker that takes a lease after this was recorded sees the record before it writes.
        """
        began, seen = time.monotonic(), dict[str, tuple[int, int]]()
        while feeding := [each for each in self._could_feed(generation) if not each["released"]]:
            turns = {each["name"]: (each["epoch"], each["beat"]) for each in feeding}
            if turns != seen:
                seen, began = turns, time.monotonic()
            if time.monotonic() - began > max(float(each["lease_s"]) for each in feeding):
                return
            if self._stop.wait(self.intervals.reindex_s):
                raise Stopped(f"stopped before {generation.index} was deleted")

    def _wait_for_sync_functions(self, generation: GenerationRecord) -> None:
        """Give the containers of a sync function time to look again; what comes later is parked, and replayed."""
        if self.is_mapped and self._stop.wait(self.intervals.targets_s):
            raise Stopped(f"stopped before {generation.index} was deleted")

    def _could_feed(self, generation: GenerationRecord) -> list[StateDocument]:
        """The states of its own pipeline, which may have just begun; of shared ones those that know it."""
        found = [each.document for each in self._store.get(self._pipeline_ids(generation)).values()]
        return [each for each in found if generation.number > 1 or generation.index in each["indexes"]]

    def _pipeline_ids(self, generation: GenerationRecord) -> list[str]:
        names = [pipeline_of(generation.index)]
        if generation.number == 1:
            names = [shared_pipeline(each, self._deployment) for each in (self.declared.namespace.db, self.name)]
        return [pipeline_id(name) for name in names]

    def _state(self, state_id: str) -> StateDocument | None:
        found = self._store.get([state_id]).get(state_id)
        return found.document if found else None


@contextmanager
def generations_of(
    settings: Settings, namespace: str, stop: threading.Event, intervals: Intervals
) -> Iterator[Generations]:
    """Open the way to the generations of a declared collection. Raises SettingsError, SinkUnavailable."""
    declared = Planner(settings).of(namespace)
    with closing(sink_client(settings)) as client:
        require_server(client)
        yield Generations(settings, declared, client, stop, intervals)
