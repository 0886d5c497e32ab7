"""How everything stands, for who looks again and again: few requests for any number of collections, and no sleep.

look      the state by one `_mget`, the indexes by `_alias`, `_stats` and `_msearch`, which also counts the dead letters
refresh   what takes a question for each collection: documents at the source, values that are not searched by
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from penstock.connections import sink_client
from penstock.errors import SettingsError, SinkUnavailable
from penstock.model import Namespace
from penstock.observe.wording import counted as counted_words
from penstock.opensearch.dead_letters.search import LetterField, LetterSearch, counted
from penstock.opensearch.read.ignored import IgnoredValues
from penstock.opensearch.state.generations import CollectionRecord, record_of
from penstock.opensearch.state.ids import (
    generations_id,
    load_id,
    pipeline_id,
    reaction_id,
    unserved_id,
    worker_id,
    workers_id,
)
from penstock.opensearch.state.shared_load import share_ids, unfinished
from penstock.opensearch.state.store import StateDocument, Stored
from penstock.opensearch.state.workers import worker_names
from penstock.operations.inspect.views import (
    IndexOverview,
    IndexView,
    Search,
    SourceOverview,
    searches_for_counts,
    see_source,
)
from penstock.operations.status.captures import CaptureStatus, capture_name, captures
from penstock.operations.status.looked import Looked, namespace_of, several_of, watches_of, with_unserved
from penstock.operations.status.pipelines import pipelines
from penstock.operations.status.reactions import reactions
from penstock.operations.status.report import CollectionStatus, Status
from penstock.operations.status.workers import WorkerStatus, WorkerWatch, workers_among
from penstock.planner import DeclaredCollection, pipeline_of, present_names, shared_pipeline
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import CollectionSettings, Settings

Running = Callable[[Mapping[str, StateDocument]], frozenset[str]]
"""Which of these state documents, by id, have a worker, or are of one that is alive."""

_RATE_FROM_S = 0.5
"""Two looks closer to each other than this measure no rate."""


class StatusWatch:
    """Looks at everything through one connection. One thread looks; another one may refresh. Close it.

    `tables` are the names in the settings as they are written, patterns among them.
    """

    def __init__(self, settings: Settings, tables: Iterable[str] = (), intervals: Intervals = INTERVALS) -> None:
        self.settings = settings
        self._tables = list(tables)
        self._view = IndexView(sink_client(settings), settings.own_aliases)
        self._workers = WorkerWatch(intervals)
        self._states: dict[str, Stored] = {}
        self._asked: frozenset[str] = frozenset()
        self._records: Mapping[str, CollectionRecord] = {}
        self._writes: tuple[float, Mapping[str, int]] | None = None
        self._rates: Mapping[str, float] = {}
        self._recipes: dict[str, DeclaredCollection | None] = {}
        self._seen = threading.Lock()
        self._source, self._source_at = SourceOverview(), time.monotonic()
        self._ignored: Mapping[Namespace, IgnoredValues | None] = {}

    @property
    def view(self) -> IndexView:
        """The looks at the index, over the same connection."""
        return self._view

    @property
    def state_documents(self) -> Mapping[str, StateDocument]:
        """The state documents of the last look, by id."""
        return {state_id: each.document for state_id, each in self._states.items()}

    @property
    def records(self) -> Mapping[str, CollectionRecord]:
        """The records of the generations as of the last look, by read alias."""
        return self._records

    @property
    def pipelines(self) -> dict[str, str]:
        """What keeps samples: each pipeline and reaction by the name of its state, with what people call it."""
        collections: dict[str, list[str]] = {}
        for watch in watches_of(self.settings):
            shared = shared_pipeline(str(watch), self.settings.pipeline.name)
            collections[shared] = [f"{watch.db}.{coll}" for coll in watch.colls]
        titles = {
            name: its[0] if len(its) == 1 else f"{name} ({counted_words(len(its), 'collection')})"
            for name, its in collections.items()
        }
        later = [each for record in self._records.values() for each in record.generations if each.number > 1]
        titles |= {pipeline_of(each.index): each.index for each in later}
        deployment = self.settings.pipeline.name
        return titles | {
            reaction_id(each.name, deployment): f"reaction {each.name}" for each in self.settings.reactions
        }

    def look(self, running: Running | None = None) -> Status:
        """Look at all but what `refresh` is for. Raises SettingsError, SinkUnavailable.

        `running` judges once and for all, for who does not look again.
        """
        began = time.monotonic()
        try:
            self._read_states()
            indexes, several, letters = self._look_at_indexes()
        except SinkUnavailable as error:
            self._workers.missed(str(error))
            raise
        states = self.state_documents
        leases = {name: each for name, each in states.items() if each["kind"] == "pipeline"}
        self._judge(leases, took_s=time.monotonic() - began)
        members = {name: each for name, each in states.items() if each["kind"] == "worker" and _is_of_the_log(each)}
        if running:
            there = running(leases | members)
        else:
            there = frozenset(name for name in leases if self._workers.is_running(name, leases[name]))
            there |= {name for name, each in members.items() if not self._workers.is_silent(each["name"])}
        with self._seen:
            source, ignored = self._source_now(), self._ignored
        names = present_names(self.settings, self._records)
        looked = Looked(
            settings=self.settings,
            records=self._records,
            names=names,
            source=source,
            indexes=indexes,
            writes_per_s=self._rates,
            letters=letters["namespace"],
            ignored={namespace: ignored.get(namespace) for namespace in names},
            several=several,
            states=states,
            there=there,
            feeding=[each for name, each in members.items() if name in there],
            moved_on=self._moved_on,
        )
        unserved = self._unserved(states)
        capturing = {name: each for name, each in members.items() if each.get("captures")}
        alive = [each for name, each in capturing.items() if name in there]
        log_of = captures(self.settings, capturing.values(), alive, source.now_s)
        lines = [self._with_capture(each, log_of) for each in looked.lines()]
        workers = self._own_workers()
        running_names = {each["name"] for name, each in leases.items() if name in there}
        return Status(
            with_unserved(lines, unserved, served=self._records),
            source.problem,
            reactions=reactions(self.settings, source, states, there, letters["alias"]),
            workers=workers,
            pipelines=pipelines(self.pipelines, leases.values(), running_names, workers, source),
            index_slow=self._workers.slow,
            captures=list(log_of.values()),
        )

    def refresh(self) -> None:
        """Count the documents at the source, and the values that the indexes do not search by.

        A source that is away leaves its part empty, with the reason. Raises SettingsError, SinkUnavailable.
        """
        if not self._asked:
            self._read_states()
        names = present_names(self.settings, self._records)
        source = see_source(self.settings.source, names)
        seen_at = time.monotonic()
        aliases = {namespace_of(each): each.alias for each in self.settings.collections}
        indexes = self._view.indexes_of(aliases.values())
        ignored = {
            name: self._view.ignored(sorted(its)[-1]) if (its := indexes[alias]) else None
            for name, alias in aliases.items()
        }
        with self._seen:
            self._source, self._source_at, self._ignored = source, seen_at, ignored

    def close(self) -> None:
        """Close the connection."""
        self._view.client.close()

    def _read_states(self) -> None:
        """Ask for what was needed last time; what has come since takes a second question."""
        asked = self._asked or frozenset(self._first_ids())
        states = self._view.stored(sorted(asked))
        while more := frozenset(self._ids(states)) - asked:
            states |= self._view.stored(sorted(more))
            asked |= more
        self._states, self._asked = states, frozenset(self._ids(states))
        self._records = _records(states)

    def _first_ids(self) -> Iterable[str]:
        settings, deployment = self.settings, self.settings.pipeline.name
        yield workers_id(deployment)
        yield from map(generations_id, settings.aliases)
        yield from (unserved_id(table, deployment) for table in self._tables)
        yield from (reaction_id(each.name, deployment) for each in settings.reactions)
        yield from (pipeline_id(shared_pipeline(str(watch), deployment)) for watch in watches_of(settings))

    def _ids(self, states: Mapping[str, Stored]) -> Iterable[str]:
        """The ids of all that belongs to what these say."""
        yield from self._first_ids()
        listed = states.get(workers_id(self.settings.pipeline.name))
        yield from map(worker_id, worker_names(listed.document if listed else None))
        for record in _records(states).values():
            for each in record.generations:
                load = load_id(record.collection, each.index)
                yield load
                plan = unfinished(states[load].document) if load in states else None
                yield from share_ids(record.collection, each.index, plan) if plan else ()
                if each.number > 1:
                    yield pipeline_id(pipeline_of(each.index))

    def _look_at_indexes(
        self,
    ) -> tuple[
        dict[Namespace, IndexOverview | None], dict[str, tuple[int | None, int]], dict[LetterField, dict[str, int]]
    ]:
        view = self._view
        aliases = {namespace_of(each): each.alias for each in self.settings.collections}
        several = [each for record in self._records.values() for each in several_of(record)]
        indexes = view.indexes_of([*aliases.values(), *(each.write_alias for each in several)])
        counts = searches_for_counts(indexes)
        written_to = [each.write_alias for each in several]
        reacting = [reaction_id(each.name, self.settings.pipeline.name) for each in self.settings.reactions]
        names = list(map(str, aliases))
        questions: list[tuple[LetterSearch, LetterField, list[str]]] = [
            (view.letters, "namespace", names),
            (view.letters, "alias", written_to),
            (view.reaction_letters, "alias", reacting),
        ]
        asked = [each for each in questions if each[2]]
        letter_searches: list[Search] = [(search.index, search.counting(field, its)) for search, field, its in asked]
        answers = view.search_all([*counts, *letter_searches])
        letters: dict[LetterField, dict[str, int]] = {"namespace": {}, "alias": {}}
        for (_, field, its), answer in zip(asked, answers[len(counts) :], strict=True):
            letters[field] |= counted(answer, its)
        found = view.counted(indexes, answers[: len(counts)])
        self._measure(found.values())
        sizes = {
            each.index: (
                index.documents if (index := found[each.write_alias]) else None,
                letters["alias"][each.write_alias],
            )
            for each in several
        }
        return {namespace: found[alias] for namespace, alias in aliases.items()}, sizes, letters

    def _measure(self, indexes: Iterable[IndexOverview | None]) -> None:
        """Take the rate of writes since the last look."""
        now = time.monotonic()
        writes = {each.name: each.writes for each in indexes if each and each.writes is not None}
        if self._writes is None:
            self._writes = now, writes
        elif (seconds := now - self._writes[0]) >= _RATE_FROM_S:
            before = self._writes[1]
            self._rates = {
                name: round(max(0, count - before[name]) / seconds, 1)
                for name, count in writes.items()
                if name in before
            }
            self._writes = now, writes

    def _judge(self, leases: Mapping[str, StateDocument], *, took_s: float) -> None:
        listed = self._states.get(workers_id(self.settings.pipeline.name))
        workers = workers_among(self._states, worker_names(listed.document if listed else None))
        pipelines = {name: self._states[name] for name in leases}
        self._workers.saw(workers, pipelines, self._view.why_no_writes, took_s=took_s)

    def _own_workers(self) -> list[WorkerStatus]:
        """The processes that run something of these settings, or nothing yet: others may share the list."""
        own = self.pipelines.keys() | {f"capture/{capture_name(self.settings, name)}" for name in self._captured()}
        found = self._workers.workers()
        return [each for each in found if own & each.pipelines.keys() or (not each.pipelines and each.state == "alive")]

    def _captured(self) -> list[str]:
        """The collections that go through topics of penstock's own."""
        names = [each.namespace for each in self.settings.collections]
        return [name for name in names if self.settings.has_own_topic(name)]

    def _with_capture(self, line: CollectionStatus, log_of: Mapping[str, CaptureStatus]) -> CollectionStatus:
        has_own = self.settings.has_own_topic(line.namespace)
        return replace(line, capture=log_of[capture_name(self.settings, line.namespace)]) if has_own else line

    def _source_now(self) -> SourceOverview:
        """What was seen of the source; its clock has gone on since."""
        now_s = self._source.now_s
        passed_s = time.monotonic() - self._source_at
        return self._source if now_s is None else replace(self._source, now_s=now_s + passed_s)

    def _unserved(self, states: Mapping[str, StateDocument]) -> dict[str, str]:
        ids = (unserved_id(table, self.settings.pipeline.name) for table in self._tables)
        reasons = (states[each]["reasons"] for each in ids if each in states)
        return {name: reason for each in reasons for name, reason in each.items()}

    def _moved_on(self, collection: CollectionSettings, record: CollectionRecord | None) -> list[str]:
        """What has changed in the settings, files and functions as they were when they were looked at first."""
        if record is None:
            return []
        if collection.namespace not in self._recipes:
            try:
                self._recipes[collection.namespace] = DeclaredCollection.by(collection)
            except SettingsError:
                self._recipes[collection.namespace] = None  # `check` says what is wrong with them
        declared = self._recipes[collection.namespace]
        return record.moved_on(declared.recipe) if declared else []


def _is_of_the_log(worker: StateDocument) -> bool:
    """Whether a process is a member of a consumer group, or captures."""
    return bool(worker.get("shares") or worker.get("captures"))


def _records(states: Mapping[str, Stored]) -> dict[str, CollectionRecord]:
    found = (record_of(each.document) for each in states.values() if each.document["kind"] == "generations")
    return {record.alias: record for record in found}
