"""Which collections can be served now. What keeps one from it keeps no other one from being served.

At the start a declared collection that can never be served is refused. Whatever else cannot be served at present is
reported, and looked at again from time to time: a collection that does not exist yet, a cluster that is full, what a
pattern found, and what came later.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import structlog

from penstock.errors import PenstockError, SettingsError, SinkUnavailable, SourceUnavailable, SystemicFault
from penstock.model import Names, Namespace
from penstock.mongo.collections import is_capped
from penstock.mongo.connection import SourceClient
from penstock.mongo.obstacles import Obstacle, not_enabled, obstacle_to
from penstock.mongo.retrying import ask
from penstock.observe.health import Health
from penstock.opensearch.http.waiting import FailFast, NotNow
from penstock.opensearch.index.indexes import AliasLost, Indexes, IndexRefused
from penstock.opensearch.state.generations import CollectionRecord, GenerationRegistry
from penstock.opensearch.state.pattern_state import UnservedState
from penstock.opensearch.state.store import StateStore
from penstock.planner import DeclaredCollection, Planner
from penstock.settings import CollectionSettings, FoundCollection, Settings
from penstock.wiring import Wiring
from penstock.worker.collections.expansion import Expanded, exactly, patterns_of
from penstock.worker.collections.patterns import Patterns
from penstock.worker.startup import ensure

log = structlog.get_logger(__name__)

T = TypeVar("T")

CAPPED = "is capped: a document that it drops by itself causes no event and stays in the index"


class Unserved(NamedTuple):
    """A collection that cannot be served at present, and the error that refuses it at the start."""

    collection: CollectionSettings
    obstacle: Obstacle
    error: PenstockError

    @property
    def is_refused(self) -> bool:
        """Whether somebody has declared what can never be served."""
        return not (self.obstacle.passes or isinstance(self.collection, FoundCollection))

    @property
    def is_only_remembered(self) -> bool:
        """Whether a pattern found the collection once, and it went before it was served."""
        return isinstance(self.collection, FoundCollection) and self.obstacle.is_absence


@dataclass
class Admission:
    """Judges the collections; one that was admitted once stays so. One that has a record has been served before.

    `only_found`: what is named exactly is served whatever there is.
    """

    wiring: Wiring
    records: GenerationRegistry
    health: Health | None = None
    only_found: bool = False
    _admitted: set[str] = field(default_factory=set)
    _reported: dict[str, str] = field(default_factory=dict)

    @property
    def waits(self) -> bool:
        """Whether there are collections that cannot be served yet."""
        return bool(self._reported)

    def reasons(self, namespaces: Collection[str]) -> list[str]:
        """Return why these collections are not served."""
        return [f"{name} {reason}" for name, reason in sorted(self._reported.items()) if name in namespaces]

    def look(self, expanded: Expanded, tables: Settings, stop: threading.Event) -> list[Unserved]:
        """Admit what can be served, and return what cannot; `tables` are the settings with their patterns.

        Raises SourceUnavailable, SinkUnavailable, Stopped.
        """
        new = [each for each in expanded.settings.collections if each.namespace not in self._admitted]
        recorded = self.records.read(each.alias for each in new) if new else {}
        asked = [each for each in new if not self.only_found or isinstance(each, FoundCollection)]
        judged = [each for one in asked if (each := self._judge(one, recorded.get(one.alias), stop))]
        unserved = {each.collection.namespace for each in judged}
        self._admitted |= {each.namespace for each in new} - unserved
        found = [each for each in judged if not each.is_only_remembered]
        self._report(found, expanded.left_out)
        self._note(tables)
        return found

    def admitted(self, settings: Settings) -> Settings:
        """Return the settings with only the collections that can be served."""
        those = tuple(each for each in settings.collections if each.namespace in self._admitted)
        return settings.model_copy(update={"collections": those})

    def warn_of_capped(self, settings: Settings, stop: threading.Event) -> None:
        """Report the collections that lose documents without an event."""
        for each in settings.collections:
            if each.namespace in self._admitted and self._ask(stop, is_capped, Namespace.named(each.namespace)):
                log.warning(f"collection {CAPPED}", collection=each.namespace)

    def _judge(
        self, collection: CollectionSettings, record: CollectionRecord | None, stop: threading.Event
    ) -> Unserved | None:
        name = Namespace.named(collection.namespace)
        present = Names(name, record.names if record else ()).present
        try:
            if obstacle := self._ask(stop, not_enabled if record else obstacle_to, present):
                return Unserved(collection, obstacle, SourceUnavailable(f"{name} {obstacle.cause}.", obstacle.todo))
            if record is None:
                self._make_index(collection)
        except AliasLost:
            return None  # a start gives it back, or says what is lost
        except NotNow as error:
            return Unserved(collection, Obstacle(error.cause, error.todo, passes=True), error)
        except (IndexRefused, SinkUnavailable, SourceUnavailable) as error:
            return Unserved(collection, Obstacle(error.cause, error.todo), error)
        except (SettingsError, SystemicFault) as error:
            return Unserved(collection, Obstacle(str(error), ""), error)
        return None

    def _ask(self, stop: threading.Event, question: Callable[[SourceClient, Namespace], T], name: Namespace) -> T:
        return ask(self.wiring.connection, stop, question, name)

    def _make_index(self, collection: CollectionSettings) -> None:
        """Make the index before a pipeline needs it, without waiting for a cluster that has no room."""
        declared = DeclaredCollection.by(collection)
        client = self.wiring.client
        generation = ensure(declared.generation(None, declared.names(None)), Indexes(client, FailFast(client.url)))
        if generation.created:
            self.wiring.made.add(generation.uuid)

    def _report(self, found: Iterable[Unserved], left_out: Mapping[str, str]) -> None:
        """Report what is new to the log, and all of it to metrics, health and `status`."""
        those = {each.collection.namespace: each for each in found}
        reasons = {name: each.obstacle.cause for name, each in those.items()} | dict(left_out)
        for name, each in those.items():
            if self._reported.get(name) != each.obstacle.cause:
                say = log.warning if each.obstacle.passes else log.error
                say("collection is not served", collection=name, reason=each.obstacle.cause, heal=each.obstacle.todo)
        for name in self._reported.keys() - reasons.keys():
            log.info("collection can be served now", collection=name)
            self.wiring.metrics.set("penstock_collection_unserved", 0, collection=name)
        for name in reasons:
            self.wiring.metrics.set("penstock_collection_unserved", 1, collection=name)
        if self.health:
            self.health.unserved(reasons, idle=not self._admitted)
        self._reported = reasons

    def _note(self, tables: Settings) -> None:
        """Keep for `status` what was reported, by table; what matches a pattern is noted with all patterns near it."""
        client = self.wiring.client
        state = UnservedState(StateStore(client, FailFast(client.url)), tables.pipeline.name)
        exact = {each.namespace for each in exactly(tables)}
        for table in tables.collections:
            db = Namespace.named(table.namespace).db
            its = {
                name: reason
                for name, reason in self._reported.items()
                if name == table.namespace
                or (table.is_pattern and name not in exact and Namespace.named(name).db == db)
            }
            with suppress(NotNow):  # a cluster that takes no writes now is waited for by those who need it
                state.note(table.namespace, its)


@dataclass
class CollectionWatch:
    """Keeps a planner of the collections that can be served. `planner` is replaced when they change, at any time."""

    patterns: Patterns
    admission: Admission
    planner: Planner

    def start(self, stop: threading.Event) -> None:
        """Look for the first time. Raises what refuses the start, SourceUnavailable, SinkUnavailable, Stopped."""
        self.patterns.require_enabled(stop)
        refused = [each.error for each in self._look(stop) if each.is_refused]
        if refused:
            raise _refusal(refused)
        self.admission.warn_of_capped(self.patterns.settings, stop)

    def keep_looking(self, stop: threading.Event, every_s: float) -> None:
        """Look from time to time until `stop` is set, for as long as there may be more to serve."""
        while (patterns_of(self.patterns.settings) or self.admission.waits) and not stop.wait(every_s):
            try:
                self._look(stop)
            except (SettingsError, SourceUnavailable, SinkUnavailable) as error:
                log.warning("cannot look for collections, looking again later", reason=str(error))

    def _look(self, stop: threading.Event) -> list[Unserved]:
        found = self.patterns.look(stop)
        unserved = self.admission.look(found, self.patterns.settings, stop)
        settings = self.admission.admitted(found.settings)
        if [each.alias for each in settings.collections] != self.planner.aliases:
            self.planner = Planner(settings, self.planner.declared)
        return unserved


def _refusal(errors: Sequence[PenstockError]) -> PenstockError:
    """Return one error for all, of the class that a start without the others would end with first."""
    first = min(errors, key=lambda error: error.exit_code)
    its = [each for each in errors if type(each) is type(first)]
    if isinstance(first, SettingsError):
        return SettingsError(
            *(problem for each in errors if isinstance(each, SettingsError) for problem in each.problems)
        )
    if isinstance(first, SourceUnavailable) and len(its) > 1:
        return SourceUnavailable("\n".join(map(str, its)))
    return first
