"""The lines of `status`, made of what was seen of the state, of the index and of the source."""

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.model import Namespace
from penstock.mongo.watch import Watch, watches
from penstock.opensearch.read.ignored import IgnoredValues
from penstock.opensearch.state.generations import CollectionRecord, GenerationRecord
from penstock.opensearch.state.ids import load_id, pipeline_id
from penstock.opensearch.state.pipeline_state import feeds
from penstock.opensearch.state.store import StateDocument
from penstock.operations.inspect.liveness import reported_lately
from penstock.operations.inspect.members import MemberStatus, members_of, state_of_group, total
from penstock.operations.inspect.views import IndexOverview, SourceOverview
from penstock.operations.status.report import CollectionStatus, GenerationStatus
from penstock.operations.status.shared_load import LoadStatus, shared_load
from penstock.operations.status.state_words import (
    PipelineOverview,
    brought_state,
    loss_of,
    pipeline_of_state,
    share_loaded,
    state_of,
    unfed,
)
from penstock.planner import pipeline_of, shared_pipeline
from penstock.settings import CollectionSettings, Settings


@dataclass(frozen=True)
class Looked:
    """What was seen of all; `several` has, by index, the documents and the dead letters of several generations.

    `feeding` are the documents of living processes that are members of consumer groups.
    """

    settings: Settings
    records: Mapping[str, CollectionRecord]
    names: Mapping[Namespace, Namespace]
    source: SourceOverview
    indexes: Mapping[Namespace, IndexOverview | None]
    writes_per_s: Mapping[str, float]
    letters: Mapping[str, int]
    ignored: Mapping[Namespace, IgnoredValues | None]
    several: Mapping[str, tuple[int | None, int]]
    states: Mapping[str, StateDocument]
    there: Container[str]
    feeding: Sequence[StateDocument]
    moved_on: Callable[[CollectionSettings, CollectionRecord | None], list[str]]

    def lines(self) -> list[CollectionStatus]:
        """One line for each declared collection."""
        declared = {namespace_of(each): each for each in self.settings.collections}
        return [
            self._collection(declared[namespace], namespace, watch)
            for watch in watches_of(self.settings)
            for namespace in (Namespace(watch.db, coll) for coll in watch.colls)
        ]

    def _collection(self, declared: CollectionSettings, namespace: Namespace, watch: Watch) -> CollectionStatus:
        index, record = self.indexes[namespace], self.records.get(declared.alias)
        serving = record.in_role("serving") if record else None
        name, elsewhere = self._feeding(serving, watch), _elsewhere(index, record)
        fed = serving.index if serving and elsewhere else index.name if index else None
        load = self._load(namespace, fed) if fed else None
        pipeline = self._pipeline(name, namespace, fed, load)
        members = members_of(name, self.feeding)
        shared = shared_load(load, self.states, str(namespace), fed, time.time()) if fed else None
        documents, present = index.documents if index else None, self.names[namespace]
        return CollectionStatus(
            namespace=str(namespace),
            index=declared.alias,
            pipeline=name,
            state=self._state(namespace, pipeline, load, members, has_index=index is not None),
            loaded=_share_of_ranges(shared) or share_loaded(load, documents, self.source.documents.get(namespace)),
            documents_source=self.source.documents.get(namespace),
            documents_index=documents,
            writes_per_s=self._rate(name, index),
            lag_s=self._lag(namespace, pipeline, members),
            dead_letters=self.letters[str(namespace)],
            position_left_s=pipeline.position_left_s,
            lost=loss_of(pipeline.lost.get(str(namespace)), load),
            generations=[self._generation(each, watch, namespace) for each in several_of(record)],
            moved_on=self.moved_on(declared, record),
            searched_in=elsewhere,
            renamed_to=str(present) if present != namespace else None,
            held_for=self._held_for(name, namespace),
            ignored=self.ignored[namespace],
            brought_by=self.settings.brought_by(str(namespace)),
            members=members,
            records_behind=total(each.behind for each in members),
            load=shared,
        )

    def _generation(self, recorded: GenerationRecord, watch: Watch, namespace: Namespace) -> GenerationStatus:
        load = self._load(namespace, recorded.index)
        name = self._feeding(recorded, watch)
        pipeline, members = self._pipeline(name, namespace, recorded.index, load), members_of(name, self.feeding)
        documents, letters = self.several[recorded.index]
        return GenerationStatus(
            index=recorded.index,
            role=recorded.role,
            state="failed" if recorded.failed else self._state(namespace, pipeline, load, members),
            loaded=share_loaded(load, documents, self.source.documents.get(namespace)),
            documents_index=documents,
            lag_s=self._lag(namespace, pipeline, members),
            dead_letters=letters,
            failed=recorded.failed,
        )

    def _state(
        self,
        namespace: Namespace,
        pipeline: PipelineOverview,
        load: StateDocument | None,
        members: Sequence[MemberStatus],
        *,
        has_index: bool = True,
    ) -> str:
        match self.settings.brought_by(str(namespace)):
            case "topics":
                return brought_state(load, state_of_group(members, has_index=has_index))
            case "mapped":
                return brought_state(load, "mapped")
        return state_of(pipeline, load)

    def _pipeline(
        self, name: str, namespace: Namespace, index: str | None, load: StateDocument | None
    ) -> PipelineOverview:
        """What feeds an index; nothing does when the pipeline's lease is held for other collections."""
        state_id = pipeline_id(name)
        document, is_running = self.states.get(state_id), state_id in self.there
        if document and not feeds(document, str(namespace), str(index)):
            return unfed(load)
        return pipeline_of_state(document, self.settings, self.source, is_running=is_running)

    def _lag(self, namespace: Namespace, pipeline: PipelineOverview, members: Sequence[MemberStatus]) -> float | None:
        """How far an index is behind; of topics that others fill the slowest member says it."""
        if self.settings.brought_by(str(namespace)) != "topics":
            return pipeline.lag_s
        return max((each.lag_s for each in members if each.partitions), default=None)

    def _held_for(self, name: str, namespace: Namespace) -> str | None:
        """The other collections for which a worker holds the lease without which this one is not fed."""
        state_id = pipeline_id(name)
        others: list[str] = self.states[state_id].get("collections", []) if state_id in self.there else []
        return ", ".join(others) if others and str(namespace) not in others else None

    def _feeding(self, generation: GenerationRecord | None, watch: Watch) -> str:
        """The name of the pipeline that feeds a generation: its own, or for the first one the collection's."""
        if generation and generation.number > 1:
            return pipeline_of(generation.index)
        return shared_pipeline(str(watch), self.settings.pipeline.name)

    def _rate(self, pipeline: str, index: IndexOverview | None) -> float | None:
        """What the looks have measured, or else the worker, who measures for its samples."""
        if index is None or index.writes is None:
            return None
        if index.name in self.writes_per_s:
            return self.writes_per_s[index.name]
        document = self.states.get(pipeline_id(pipeline))
        rates = document["status"].get("writes_per_s", {}) if document and reported_lately(document) else {}
        rate: float | None = rates.get(index.name)
        return rate

    def _load(self, namespace: Namespace, index: str) -> StateDocument | None:
        return self.states.get(load_id(namespace, index))


def _share_of_ranges(load: LoadStatus | None) -> float | None:
    return min(0.99, load.done / load.ranges) if load and load.ranges else None


def with_unserved(
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


def namespace_of(collection: CollectionSettings) -> Namespace:
    """Return the collection's declared name."""
    return Namespace.named(collection.namespace)


def watches_of(settings: Settings) -> list[Watch]:
    """Return what the pipelines of the first generations are for: a consumer group feeds one index."""
    fed = [namespace_of(each) for each in settings.collections if settings.topics_of(each.namespace)]
    followed = [namespace_of(each) for each in settings.collections if not settings.topics_of(each.namespace)]
    found = [*watches(fed, "collection"), *watches(followed, settings.pipeline_per)]
    return sorted(found, key=lambda each: (each.db, each.colls))


def several_of(record: CollectionRecord | None) -> Sequence[GenerationRecord]:
    """The generations, when there is more than the one that serves."""
    return record.generations if record and len(record.generations) > 1 else ()


def _elsewhere(index: IndexOverview | None, record: CollectionRecord | None) -> str | None:
    """The index that people search in, when it is none of the collection's generations."""
    ours = {each.index for each in record.generations} if record else set()
    return index.name if index and ours and not ours & {index.name, *index.others} else None
