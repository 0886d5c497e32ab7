"""Joins pipelines to the adapters of the source and of the index.

Wiring     one process's settings and connections; makes
Adapters   what one pipeline of `penstock.planner` is joined to, made again for each term of its lease
ReactionAdapters   the same for a reaction
"""

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from penstock.connections import sink_client, source_connection
from penstock.model import Change, Namespace
from penstock.mongo.connection import Connection
from penstock.mongo.events import WholeEvents
from penstock.mongo.id_ranges import IdSlice
from penstock.mongo.identity import SourceIdentity, identity_of
from penstock.mongo.load import MongoLoad
from penstock.mongo.lookup import with_states
from penstock.mongo.retrying import ask
from penstock.mongo.stream import MongoStream
from penstock.observe.metrics import Metrics
from penstock.opensearch.dead_letters.search import REACTION_LETTER_INDEX
from penstock.opensearch.dead_letters.store import OpenSearchDeadLetters
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.requests import require_server
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.indexes import Generation, Indexes
from penstock.opensearch.state.generations import GenerationRegistry
from penstock.opensearch.state.ids import index_id, pipeline_id, reaction_id
from penstock.opensearch.state.load_state import LoadState
from penstock.opensearch.state.pipeline_state import PipelineState
from penstock.opensearch.state.store import Conflict, StateDocument, StateStore
from penstock.opensearch.state.verify_state import VerifyState
from penstock.opensearch.write.field_fallback import FieldFallback
from penstock.opensearch.write.sink import OpenSearchSink
from penstock.pipeline.batching import Limits
from penstock.pipeline.pipeline import PipelineRules
from penstock.planner import FedGeneration, Plan, reaction_watch, shared_pipeline
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import ReactionSettings, Settings

if TYPE_CHECKING:
    from penstock.kafka.control_stream import ControlStream

T = TypeVar("T")

_LOADS_AT_ONCE = 3
"""While one load asks about its collection and keeps its state, others have documents to send."""


@dataclass(frozen=True)
class Wiring:
    """One process's settings, its connections to the source and to the index, and its metrics."""

    settings: Settings
    connection: Connection
    client: Client
    metrics: Metrics
    intervals: Intervals = INTERVALS
    if_closed: bool = True
    """Whether to wait for an index that is closed; see `penstock.opensearch.http.waiting`."""

    made: set[str] = field(default_factory=set)
    """The UUIDs of the indexes that this process has made before their collections got a pipeline."""

    def patience(self, stop: threading.Event) -> RetryForever:
        """How to wait for the index."""
        return RetryForever(self.metrics, stop, if_closed=self.if_closed)

    def adapters(
        self,
        plan: Plan,
        stop: threading.Event,
        *,
        leased: bool = False,
        may_send: Callable[[], None] = lambda: None,
    ) -> "Adapters":
        """Join a pipeline; with `leased` nothing is written to its indexes without its lease.

        `may_send` is asked before each request in the place of the lease, and raises LeaseLost or Stopped.
        """
        return Adapters(self, plan, stop, leased=leased, may_send=may_send)

    def reaction(self, reaction: ReactionSettings, stop: threading.Event) -> "ReactionAdapters":
        """Join a reaction; nothing is written without its lease."""
        return ReactionAdapters(self, reaction, stop)

    def reaction_id(self, reaction: ReactionSettings) -> str:
        """The id of a reaction's state."""
        return reaction_id(reaction.name, self.settings.pipeline.name)

    def store(self, stop: threading.Event) -> StateStore:
        """The state documents."""
        return StateStore(self.client, self.patience(stop))

    def records(self, stop: threading.Event) -> GenerationRegistry:
        """The records of the generations of all collections."""
        return GenerationRegistry(self.store(stop))


@contextmanager
def wired(
    settings: Settings,
    *,
    metrics: Metrics,
    connections: int = 0,
    intervals: Intervals = INTERVALS,
    if_closed: bool = True,
    stop: threading.Event | None = None,
) -> Iterator[Wiring]:
    """Open the connections to both; `connections` at once to the index, 0 for as many as the client has by default.

    Some seconds after `stop` they end what is under way. Raises SettingsError, SourceUnavailable, SinkUnavailable,
    Stopped.
    """
    with closing(sink_client(settings, connections=connections, stop=stop)) as client:
        require_server(client)
        with source_connection(settings.source, stop=stop) as connection:
            yield Wiring(settings, connection, client, metrics, intervals, if_closed)


class ReactionAdapters:
    """What one reaction is joined to, for one term of its lease. Everything in it ends when `stop` is set."""

    def __init__(self, wiring: Wiring, reaction: ReactionSettings, stop: threading.Event) -> None:
        settings, self._stop = wiring.settings, stop
        self._connection, self._metrics, self._intervals = wiring.connection, wiring.metrics, wiring.intervals
        self._colls = [Namespace.named(each).coll for each in reaction.collections]
        self.watch = reaction_watch(reaction, settings.source)
        self.state_id = wiring.reaction_id(reaction)
        patience = wiring.patience(stop)
        self.state = PipelineState(
            StateStore(wiring.client, patience),
            self.state_id,
            owner=f"{socket.gethostname()}/{os.getpid()}",
            collections=reaction.collections,
            lease_s=settings.pipeline.lease_s,
            standby_s=wiring.intervals.standby_s,
            stop=stop,
            state_id=self.state_id,
        )
        sink = OpenSearchSink(wiring.client, settings.sink, wiring.metrics, patience, may_send=self.state.assert_held)
        self.letters = reaction_letters(wiring.client, sink, patience, kept=settings.pipeline.dead_letters_kept)

    def stream(self) -> MongoStream:
        """The reaction's cursor."""
        return MongoStream(
            self._connection,
            self.watch,
            name=self.state_id,
            metrics=self._metrics,
            stop=self._stop,
            intervals=self._intervals,
            events=WholeEvents(self.watch.db),
        )

    def ask(self, question: Callable[..., T], *arguments: object) -> T:
        """Put a question to the source; see `penstock.mongo.retrying`."""
        return ask(self._connection, self._stop, question, *arguments)

    def source_identity(self) -> SourceIdentity:
        """Who answers at the source's address."""
        return self.ask(identity_of, self.watch.db, self._colls, self._connection.address)


def reaction_letters(
    client: Client, sink: OpenSearchSink, patience: RetryForever, *, kept: int
) -> OpenSearchDeadLetters:
    """The dead letters of reactions, which are kept whole for a replay."""
    return OpenSearchDeadLetters(
        client, sink, patience, index=REACTION_LETTER_INDEX, kept=kept, bodies_kept=kept, body_bytes=EVENT_BYTES_KEPT
    )


EVENT_BYTES_KEPT = 4 * 1024 * 1024
"""Of a larger event only the start is kept, and it cannot be replayed: indexes take no requests of any size."""


class Adapters:
    """What one pipeline is joined to. Everything in it ends when `stop` is set."""

    def __init__(
        self,
        wiring: Wiring,
        plan: Plan,
        stop: threading.Event,
        *,
        leased: bool = False,
        may_send: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings = wiring.settings
        self._plan = plan
        self._stop = stop
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self.metrics = metrics = wiring.metrics
        self.intervals = intervals = wiring.intervals
        self.connection = wiring.connection
        self.made: Set[str] = wiring.made
        self.client = client = wiring.client
        self.patience = wiring.patience(stop)
        self.indexes = Indexes(client, self.patience)
        self.store = StateStore(client, self.patience)
        self._state = PipelineState(
            self.store,
            plan.name,
            owner=self._owner,
            collections=[str(each.namespace) for each in plan.collections],
            lease_s=settings.pipeline.lease_s,
            standby_s=intervals.standby_s,
            stop=stop,
        )
        may_send = self._state.assert_held if leased else may_send
        served = [each.settings for each in plan.collections]

        def sink() -> OpenSearchSink:
            return OpenSearchSink(client, settings.sink, metrics, self.patience, may_send=may_send)

        def guarded(sink: OpenSearchSink) -> FieldFallback:
            return FieldFallback(sink, served, client=client, patience=self.patience, metrics=metrics)

        self._of_loads = sink()
        self.sink, self.load_sink = guarded(sink()), guarded(self._of_loads)
        kept = settings.pipeline.dead_letters_kept
        self.dead_letters = OpenSearchDeadLetters(client, sink(), self.patience, kept=kept)
        self.records = GenerationRegistry(self.store)

    @property
    def settings(self) -> Settings:
        """What it was joined by."""
        return self._settings

    def state(self) -> PipelineState:
        """The pipeline's lease and position."""
        return self._state

    @property
    def load_unanswered_at(self) -> float | None:
        """When a request of a load last went without an answer (time.monotonic): it may still arrive."""
        return self._of_loads.unanswered_at

    @property
    def reloads(self) -> bool:
        """Whether a lost position is healed by a reload."""
        return self._settings.pipeline.on_position_lost == "reload"

    @property
    def heartbeat_s(self) -> float:
        """How often the heartbeat is written, where the plan's cursor sees one."""
        return self._settings.source.heartbeat_s

    def load_state(self, collection: FedGeneration, generation: Generation) -> LoadState:
        """How far the load of a collection has come."""
        return LoadState(self.store, str(collection.namespace), generation.index, owner=self._owner)

    def verify_state(self, collection: FedGeneration, index: str) -> VerifyState:
        """How far the verify of an index has come."""
        return VerifyState(self.store, str(collection.namespace), index, owner=self._owner)

    def source_identity(self) -> SourceIdentity:
        """Who answers at the source's address."""
        watched, colls = self._plan.watch, [each.source.coll for each in self._plan.collections]
        return self.ask(identity_of, watched.db, colls, self.connection.address)

    def known_sources(self) -> dict[str, SourceIdentity]:
        """The sources that the pipeline's position, and the documents of its indexes, were read from: by what is."""
        name, aliases = self._plan.name, [each.settings.alias for each in self._plan.collections]
        state = self.pipeline_state(name)
        position = {f"The position of pipeline {name}": state["source"]} if state else {}
        indexes = {f"The index {alias}": each.source for alias, each in self.records.read(aliases).items()}
        kept = {what: SourceIdentity.kept(stored) for what, stored in (position | indexes).items()}
        return {what: source for what, source in kept.items() if source}

    def pipeline_state(self, pipeline: str) -> StateDocument | None:
        """What is kept of a pipeline, which may be another one."""
        state_id = pipeline_id(pipeline)
        found = self.store.get([state_id]).get(state_id)
        return found.document if found else None

    def known_indexes(self) -> Mapping[str, str]:
        """The UUIDs of the indexes by name: as they were loaded, whatever cursors the load had, or else as noted.

        Cursors of earlier settings leave theirs behind: those of the pipeline that feeds an index win.
        """
        plan = self._plan
        cursors = (plan.watch.db, *(str(each.namespace) for each in plan.collections))
        names = {plan.name, *(shared_pipeline(each, plan.deployment) for each in cursors)}
        noted = {index_id(each.index): each.index for each in plan.collections}
        stored = self.store.get([*noted, *map(pipeline_id, sorted(names))])
        known = {index: stored.pop(each).document["uuid"] for each, index in noted.items() if each in stored}
        records = self.records.read([each.settings.alias for each in plan.collections])
        feeding = {pipeline_id(each.pipeline) for each in records.values() if each.pipeline}
        for _, each in sorted(stored.items(), key=lambda one: (one[0] in feeding, one[0])):
            known |= each.document["indexes"]
        return known

    def note_indexes(self, generations: Iterable[Generation]) -> None:
        """Note the UUIDs of indexes that are not known yet, before anything is written to them."""
        for each in generations:
            with suppress(Conflict):  # another process has just done so
                self.store.put(index_id(each.index), {"kind": "index", "name": each.index, "uuid": each.uuid}, None)

    def ask(self, question: Callable[..., T], *arguments: object, stop: threading.Event | None = None) -> T:
        """Put a question to the source; see `penstock.mongo.retrying`."""
        return ask(self.connection, stop or self._stop, question, *arguments)

    def states(self, changes: Sequence[Change]) -> list[Change]:
        """Return the changes, the `unresolved` ones looked up; see `penstock.mongo.lookup`."""
        names = {each.namespace: each.source for each in self._plan.collections}
        declared = {source: namespace for namespace, source in names.items()}
        asked = [each._replace(namespace=names.get(each.namespace, each.namespace)) for each in changes]
        found = self.ask(with_states, asked)
        return [each._replace(namespace=declared.get(each.namespace, each.namespace)) for each in found]

    def stream(self) -> "MongoStream | ControlStream":
        """The pipeline's cursor; of what goes through a topic of penstock's own, the one on its marks."""
        if self.has_own_topic:
            return self._control_stream()
        batch_size = min(1000, self._settings.pipeline.batch_changes)
        return MongoStream(
            self.connection,
            self._plan.watch,
            name=self._plan.name,
            metrics=self.metrics,
            stop=self._stop,
            batch_size=batch_size,
            intervals=self.intervals,
        )

    @property
    def has_own_topic(self) -> bool:
        """Whether the changes of the plan's collection go through a topic of penstock's own."""
        return any(self._settings.has_own_topic(str(each.namespace)) for each in self._plan.collections)

    @property
    def group(self) -> str:
        """The consumer group of the plan's one index."""
        (fed,) = self._plan.collections
        return f"{self._settings.log.group}.{fed.index}"

    def _control_stream(self) -> "ControlStream":
        from penstock.kafka.control_stream import ControlStream  # noqa: PLC0415 (needs the extra `kafka`)
        from penstock.kafka.log import marks_topic_for  # noqa: PLC0415

        (fed,), settings = self._plan.collections, self._settings
        marks = marks_topic_for(settings, fed.namespace)
        look_s, loss_look_s = self.intervals.stream_wait_s, self.intervals.indexes_s
        return ControlStream(settings.log, marks, self.group, fed.names, self._stop, look_s, loss_look_s)

    def load(self, collection: FedGeneration, stop: threading.Event, part: IdSlice | None = None) -> MongoLoad:
        """The load of one collection, or of a part of it."""
        load = self.documents(collection, stop, self._settings.pipeline.load_rate)
        return load.within(part) if part else load

    def documents(self, collection: FedGeneration, stop: threading.Event, rate: float | None) -> MongoLoad:
        """All documents of a collection, at most `rate` of them a second."""
        return MongoLoad(
            self.connection,
            collection.source,
            served_as=collection.namespace,
            name=self._plan.name,
            metrics=self.metrics,
            stop=stop,
            range_size=self._settings.pipeline.load_range,
            rate=rate,
        )

    @property
    def loads_at_once(self) -> int:
        """How many collections are loaded side by side; one at a time where a rate is to be kept."""
        return 1 if self._settings.pipeline.load_rate else min(_LOADS_AT_ONCE, self._settings.sink.requests_in_flight)

    def rules(self, *, outside_the_stream: bool = False, of_load: bool = False) -> PipelineRules:
        """What the pipeline is bound to; what is read outside the stream must be sent in time."""
        rules = self._settings.pipeline
        return PipelineRules(
            limits=Limits(rules.batch_changes, rules.batch_bytes),
            in_flight=self._settings.sink.requests_in_flight,
            checkpoint_every_s=rules.checkpoint_every_s,
            dead_letter_limit=rules.dead_letter_limit,
            dead_letter_window_s=rules.dead_letter_window_s,
            send_within_s=self.intervals.send_within_s if outside_the_stream or of_load else None,
            of_load=of_load,
            idle_save_s=rules.checkpoint_every_s if of_load else self.intervals.idle_save_s,
        )
