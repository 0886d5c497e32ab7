"""How each collection stands: from the state that workers keep, the source's clock and the counts on both sides."""

import time
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from penstock.connections import parking_queue
from penstock.errors import QueueUnavailable, SettingsError
from penstock.model import Namespace
from penstock.mongo.watch import Watch, watches
from penstock.opensearch.read.ignored import IgnoredValues
from penstock.opensearch.state.generations import CollectionRecord, GenerationRecord
from penstock.opensearch.state.ids import load_id, pipeline_id
from penstock.opensearch.state.pipeline_state import feeds
from penstock.opensearch.state.store import StateDocument
from penstock.operations.inspect.liveness import alive
from penstock.operations.inspect.views import IndexOverview, IndexView, Inspection, SourceOverview, see_source
from penstock.operations.status.reactions import ReactionStatus, reactions
from penstock.operations.status.state_words import (
    PipelineOverview,
    loss_of,
    mapped_state,
    pipeline_of_state,
    share_loaded,
    state_of,
    unfed,
)
from penstock.planner import DeclaredCollection, pipeline_of, shared_pipeline
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import CollectionSettings, Settings


@dataclass(frozen=True)
class GenerationStatus:
    """One of several generations of a collection; `role` is building, serving, kept or dropping.

    `failed` says why it is not fed any more.
    """

    index: str
    role: str
    state: str
    loaded: float | None
    documents_index: int | None
    lag_s: float | None
    dead_letters: int
    failed: str


@dataclass(frozen=True)
class CollectionStatus:
    """One line of `penstock status`; None is what is not known.

    `state` is waiting (no worker has begun), unserved (a worker cannot serve it yet, and `unserved` says why), loading,
    live, dropped, reconciling, stopped (no worker is there), or mapped (an event source mapping feeds the index; only
    AWS knows its state and its lag); `lost` why and since when
    the position was lost, until all is loaded again; `loaded` the share that is loaded, between 0 and 1. `lag_s` is how
    far the index is behind the source, and `position_left_s` for how long the source still keeps the changes that are
    needed next. `generations` are listed when there are several; all else is of the one that serves. `moved_on` names
    what the settings say otherwise than when this one was made; `searched_in` the index that is not
    penstock's and has the read alias: people search there. `renamed_to` is the name by which the source knows a
    collection whose rename was followed; `held_for` the collections that a worker feeds under the pipeline's lease when
    this one is not among them: nobody feeds it then. `ignored` is what the index does not search by.
    """

    namespace: str
    index: str
    pipeline: str
    state: str
    loaded: float | None
    documents_source: int | None
    documents_index: int | None
    writes_per_s: float | None
    lag_s: float | None
    dead_letters: int
    position_left_s: float | None
    lost: str | None
    generations: list[GenerationStatus]
    moved_on: list[str]
    searched_in: str | None
    renamed_to: str | None = None
    held_for: str | None = None
    ignored: IgnoredValues | None = None
    unserved: str | None = None


@dataclass(frozen=True)
class Status:
    """All collections; `source_problem` says why the source's part of them is not known.

    `parked` is about how many messages with parked keys wait in the queue, None where there is no queue or, with
    `queue_problem`, where it cannot be asked.
    """

    collections: list[CollectionStatus]
    source_problem: str
    parked: int | None = None
    queue_problem: str = ""
    reactions: list[ReactionStatus] = field(default_factory=list)


def status(settings: Settings, tables: Iterable[str] = (), intervals: Intervals = INTERVALS) -> Status:
    """Look at everything; takes at least `intervals.rate_s`, for the rate. Raises SettingsError, SinkUnavailable.

    `tables` are the names in the settings as they are written, patterns among them.
    """
    with closing(Inspection(settings)) as seen:
        looked = _look(seen, intervals)
        unserved = seen.index.unserved(tables, settings.pipeline.name)
        reacting = reactions(seen, looked.source, intervals)
    declared = {_namespace(each): each for each in settings.collections}
    lines = [
        looked.collection(declared[namespace], namespace, watch)
        for watch in _watches(settings)
        for namespace in (Namespace(watch.db, coll) for coll in watch.colls)
    ]
    lines = _with_unserved(lines, unserved, served=looked.seen.records)
    found = Status(lines, looked.source.problem, reactions=reacting)
    if not settings.pipeline.parking_queue:
        return found
    try:
        return replace(found, parked=parking_queue(settings).waiting())
    except QueueUnavailable as error:
        return replace(found, queue_problem=str(error))


@dataclass(frozen=True)
class _Looked:
    """What was seen of all; `several` has, by index, the documents and the dead letters of several generations."""

    seen: Inspection
    source: SourceOverview
    indexes: Mapping[Namespace, IndexOverview | None]
    writes_per_s: Mapping[Namespace, float | None]
    letters: Mapping[Namespace, int]
    ignored: Mapping[Namespace, IgnoredValues | None]
    several: Mapping[str, tuple[int | None, int]]
    states: Mapping[str, StateDocument]
    there: Container[str]

    def collection(self, declared: CollectionSettings, namespace: Namespace, watch: Watch) -> CollectionStatus:
        index, record = self.indexes[namespace], self.seen.records.get(declared.alias)
        serving = record.in_role("serving") if record else None
        name, elsewhere = self._feeding(serving, watch), _elsewhere(index, record)
        fed = serving.index if serving and elsewhere else index.name if index else None
        load = self._load(namespace, fed) if fed else None
        pipeline = self._pipeline(name, namespace, fed, load)
        documents, present = index.documents if index else None, self.seen.names[namespace]
        return CollectionStatus(
            namespace=str(namespace),
            index=declared.alias,
            pipeline=name,
            state=self._state(pipeline, load),
            loaded=share_loaded(load, documents, self.source.documents.get(namespace)),
            documents_source=self.source.documents.get(namespace),
            documents_index=documents,
            writes_per_s=self.writes_per_s[namespace],
            lag_s=pipeline.lag_s,
            dead_letters=self.letters[namespace],
            position_left_s=pipeline.position_left_s,
            lost=loss_of(pipeline.lost.get(str(namespace)), load),
            generations=[self._generation(each, watch, namespace) for each in _several(record)],
            moved_on=_moved_on(declared, record),
            searched_in=elsewhere,
            renamed_to=str(present) if present != namespace else None,
            held_for=self._held_for(name, namespace),
            ignored=self.ignored[namespace],
        )

    def _generation(self, recorded: GenerationRecord, watch: Watch, namespace: Namespace) -> GenerationStatus:
        load = self._load(namespace, recorded.index)
        pipeline = self._pipeline(self._feeding(recorded, watch), namespace, recorded.index, load)
        documents, letters = self.several[recorded.index]
        return GenerationStatus(
            index=recorded.index,
            role=recorded.role,
            state="failed" if recorded.failed else self._state(pipeline, load),
            loaded=share_loaded(load, documents, self.source.documents.get(namespace)),
            documents_index=documents,
            lag_s=pipeline.lag_s,
            dead_letters=letters,
            failed=recorded.failed,
        )

    def _state(self, pipeline: PipelineOverview, load: StateDocument | None) -> str:
        return mapped_state(load) if self.seen.settings.pipeline.parking_queue else state_of(pipeline, load)

    def _pipeline(
        self, name: str, namespace: Namespace, index: str | None, load: StateDocument | None
    ) -> PipelineOverview:
        """What feeds an index; nothing does when the pipeline's lease is held for other collections."""
        state_id = pipeline_id(name)
        document, is_running = self.states.get(state_id), state_id in self.there
        if document and not feeds(document, str(namespace), str(index)):
            return unfed(load)
        return pipeline_of_state(document, self.seen.settings, self.source, is_running=is_running)

    def _held_for(self, name: str, namespace: Namespace) -> str | None:
        """The other collections for which a worker holds the lease without which this one is not fed."""
        state_id = pipeline_id(name)
        others: list[str] = self.states[state_id].get("collections", []) if state_id in self.there else []
        return ", ".join(others) if others and str(namespace) not in others else None

    def _feeding(self, generation: GenerationRecord | None, watch: Watch) -> str:
        """The name of the pipeline that feeds a generation: its own, or for the first one the collection's."""
        if generation and generation.number > 1:
            return pipeline_of(generation.index)
        return shared_pipeline(str(watch), self.seen.settings.pipeline.name)

    def _load(self, namespace: Namespace, index: str) -> StateDocument | None:
        return self.states.get(load_id(namespace, index))


def _look(seen: Inspection, intervals: Intervals) -> _Looked:
    aliases = {_namespace(each): each.alias for each in seen.settings.collections}
    began = time.monotonic()
    before = {namespace: seen.index.behind(alias) for namespace, alias in aliases.items()}
    source = see_source(seen.settings.source, seen.names)
    letters = seen.index.letters.count(aliases)
    several = {each.index: _size_of(seen.index, each) for record in seen.records.values() for each in _several(record)}
    time.sleep(max(0.0, began + intervals.rate_s - time.monotonic()))
    after = {namespace: seen.index.behind(alias) for namespace, alias in aliases.items()}
    seconds = time.monotonic() - began
    rates = {namespace: _rate(before[namespace], index, seconds) for namespace, index in after.items()}
    states = seen.index.states(_state_ids(seen, after))
    pipelines = {name: each for name, each in states.items() if each["kind"] == "pipeline"}
    there = alive(pipelines, seen.index.states, every_s=intervals.liveness_s)
    ignored = {namespace: seen.index.ignored(index.name) if index else None for namespace, index in after.items()}
    return _Looked(seen, source, after, rates, letters, ignored, several, states, there)


def _with_unserved(
    lines: list[CollectionStatus], reasons: Mapping[str, str], *, served: Container[str]
) -> list[CollectionStatus]:
    """Say which collections are not served; one that has no index of its own gets a line too."""
    named = {each.namespace for each in lines}
    marked = [
        replace(each, state="unserved", unserved=reasons[each.namespace], held_for=None)
        if each.namespace in reasons and each.index not in served
        else each
        for each in lines
    ]
    return marked + [_unserved_line(name, reason) for name, reason in sorted(reasons.items()) if name not in named]


def _unserved_line(namespace: str, reason: str) -> CollectionStatus:
    return CollectionStatus(
        namespace=namespace,
        index="",
        pipeline="",
        state="unserved",
        loaded=None,
        documents_source=None,
        documents_index=None,
        writes_per_s=None,
        lag_s=None,
        dead_letters=0,
        position_left_s=None,
        lost=None,
        generations=[],
        moved_on=[],
        searched_in=None,
        unserved=reason,
    )


def _namespace(collection: CollectionSettings) -> Namespace:
    return Namespace.named(collection.namespace)


def _watches(settings: Settings) -> list[Watch]:
    return watches(map(_namespace, settings.collections), settings.source.cursor_per)


def _state_ids(seen: Inspection, indexes: Mapping[Namespace, IndexOverview | None]) -> list[str]:
    deployment = seen.settings.pipeline.name
    ids = {pipeline_id(shared_pipeline(str(watch), deployment)) for watch in _watches(seen.settings)}
    ids |= {load_id(namespace, index.name) for namespace, index in indexes.items() if index}
    for record in seen.records.values():
        for each in record.generations:
            ids |= {load_id(record.collection, each.index), pipeline_id(pipeline_of(each.index))}
    return sorted(ids)


def _several(record: CollectionRecord | None) -> Sequence[GenerationRecord]:
    """The generations, when there is more than the one that serves."""
    return record.generations if record and len(record.generations) > 1 else ()


def _size_of(view: IndexView, generation: GenerationRecord) -> tuple[int | None, int]:
    """How many documents it holds, and how many dead letters it has."""
    index = view.behind(generation.write_alias)
    return index.documents if index else None, view.letters.count_of(generation.write_alias)


def _moved_on(collection: CollectionSettings, record: CollectionRecord | None) -> list[str]:
    try:
        return record.moved_on(DeclaredCollection.by(collection).recipe) if record else []
    except SettingsError:
        return []  # `check` says what is wrong with them


def _elsewhere(index: IndexOverview | None, record: CollectionRecord | None) -> str | None:
    """The index that people search in, when it is none of the collection's generations."""
    ours = {each.index for each in record.generations} if record else set()
    return index.name if index and ours and not ours & {index.name, *index.others} else None


def _rate(before: IndexOverview | None, after: IndexOverview | None, seconds: float) -> float | None:
    if before is None or after is None or before.writes is None or after.writes is None:
        return None
    return round(max(0, after.writes - before.writes) / seconds, 1)
