"""The generations of a database's collections, for processes to which others bring the changes.

Such a process lives on for an unknown time, and looks at the records and the indexes from time to time.
"""

import threading
import time
from collections.abc import Container, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import structlog

from penstock.delivery.apply import Applier
from penstock.errors import IndexTakenAway, PenstockError, SettingsError, Stopped, SystemicFault
from penstock.model import CONTROL, Change, Counts, Namespace, Position
from penstock.opensearch.index.indexes import Generation, read_alias_of
from penstock.opensearch.state.ids import load_id
from penstock.opensearch.state.load_state import awaits_load
from penstock.planner import FedGeneration, Plan, Planner
from penstock.settings import Settings
from penstock.wiring import Adapters, Wiring
from penstock.worker.collections.expansion import patterns_of
from penstock.worker.startup import ensure

log = structlog.get_logger(__name__)


class FedPlan(NamedTuple):
    """A plan, and its generations as they were found."""

    plan: Plan
    generations: Mapping[Namespace, Generation]


@dataclass
class DatabaseTargets:
    """The generations of one database's collections; looked at from time to time by a process that lives on.

    `unreconciled`: the collections, as last seen, that were dropped or replaced by a rename, and whose indexes hold
    documents from before until they are loaded.
    """

    planner: Planner
    wiring: Wiring
    unreconciled: set[Namespace] = field(default_factory=set)
    _recorded: set[str] = field(default_factory=set)
    _feeders: dict[str, str] = field(default_factory=dict)
    _fed: list[FedPlan] = field(default_factory=list)
    _looked_at: float | None = None

    @property
    def namespaces(self) -> set[Namespace]:
        """The declared collections."""
        return {each.namespace for each in self.planner.declared}

    def apply(
        self, changes: Sequence[Change], position: Position, stop: threading.Event, *, in_order: bool = True
    ) -> Counts:
        """Apply the changes to every generation, first to those that people search. `in_order`: see `Applier`.

        Doing it twice changes nothing. What fails for good in a generation that nobody searches is recorded, and it is
        fed no more. Raises Stopped, SettingsError, SourceUnavailable, SinkUnavailable, SystemicFault; then nobody knows
        which of the changes were applied.
        """
        counts, found = Counts(), self.fed(stop)
        for fed in found:
            its = _changes_of(fed.plan, changes) if len(found) > 1 else changes
            adapters = self.wiring.adapters(fed.plan, stop, may_send=partial(_require_not_stopped, stop))
            try:
                applier = Applier(fed.plan, adapters, fed.generations, in_order=in_order)
                counts.add(applier.apply(its, position, stop))
            except SystemicFault as error:
                self._fed = []  # an index may have been taken away; another one may have its name the next time
                _give_up(fed.plan, adapters, error)
        if counts.control:
            self.unreconciled = self._look_for_drops(stop)
        return counts

    def fed(self, stop: threading.Event) -> list[FedPlan]:
        """What is to be fed, that which people search first.

        Raises SettingsError, SystemicFault when an index was replaced behind penstock's back.
        """
        every_s = self.wiring.intervals.targets_s
        if not self._fed or self._looked_at is None or time.monotonic() - self._looked_at > every_s:
            self._fed = []
            records = self.wiring.records(stop).read(self.planner.aliases)
            self._recorded = {each.write_alias for record in records.values() for each in record.generations}
            plans = sorted(self.planner.plans(records), key=lambda plan: not plan.serves)
            self._fed = [fed for plan in plans if (fed := self._find(plan, stop))]
            self.unreconciled = self._look_for_drops(stop)
            self._looked_at = time.monotonic()
        return self._fed

    def takes(self, collection: FedGeneration, fed: FedPlan, alias: str) -> bool:
        """Whether letters of this write alias are the generation's; the serving one takes those of no known one.

        Those of another deployment stay: it may index a collection of this name from elsewhere, or otherwise.
        """
        if alias == fed.generations[collection.namespace].write_alias:
            return True
        return collection.serves and alias not in self._recorded and not self._is_anothers(alias)

    def _is_anothers(self, alias: str) -> bool:
        """Whether the index of this write alias is fed by a pipeline that is none of these."""
        if alias not in self._feeders:
            read_alias = read_alias_of(alias)
            record = self.wiring.records(threading.Event()).read([read_alias]).get(read_alias)
            self._feeders[alias] = record.pipeline if record else ""
        return self._feeders[alias] not in {"", *(each.plan.name for each in self._fed)}

    def _look_for_drops(self, stop: threading.Event) -> set[Namespace]:
        names = {load_id(name, its.index): name for fed in self._fed for name, its in fed.generations.items()}
        loads = self.wiring.store(stop).get(names)
        return {names[state_id] for state_id, each in loads.items() if awaits_load(each.document)}

    def _find(self, plan: Plan, stop: threading.Event) -> FedPlan | None:
        adapters = self.wiring.adapters(plan, stop)
        try:
            if plan.problem:
                raise SettingsError(plan.problem)
            return FedPlan(plan, generations_of(plan, adapters))
        except (SettingsError, SystemicFault) as error:
            _give_up(plan, adapters, error)
        return None


def _require_not_stopped(stop: threading.Event) -> None:
    """Raise Stopped once the caller was asked to stop.

    One that could wait no longer has left its thread behind, in a container that may be frozen and go on much later:
    what it sends then may be older than a tombstone that the index has forgotten.
    """
    if stop.is_set():
        raise Stopped("stopped before the writes were sent")


def databases(wiring: Wiring) -> dict[str, DatabaseTargets]:
    """One for each database, whatever cursors a worker would have. Raises SettingsError."""
    names = [Namespace.named(each.namespace) for each in wiring.settings.collections]
    dbs = sorted({each.db for each in names})
    return {db: targets_of(wiring, {each for each in names if each.db == db}) for db in dbs}


def targets_of(wiring: Wiring, names: Container[Namespace]) -> DatabaseTargets:
    """Those of some collections of one database. Raises SettingsError."""
    settings = wiring.settings.with_cursor_per("database")
    its = tuple(each for each in settings.collections if Namespace.named(each.namespace) in names)
    return DatabaseTargets(Planner(settings.model_copy(update={"collections": its})), wiring)


def require_mappable(settings: Settings) -> None:
    """Refuse what a worker alone can do where an event source mapping brings the changes. Raises SettingsError."""
    if patterns := patterns_of(settings):
        raise SettingsError(
            f"[[collections]] {patterns[0].namespace}: only `penstock run` looks for collections that match a pattern;"
            " where an event source mapping brings the changes, name each collection."
        )
    if grace := next((each for each in settings.collections if each.drop_grace_s), None):
        raise SettingsError(
            f"[[collections]] {grace.namespace}: drop_grace_s needs `penstock run`, which checks whether the collection"
            " is back; where an event source mapping brings the changes, leave it out."
        )
    if following := next((each for each in settings.collections if each.follows), None):
        raise SettingsError(
            f'[[collections]] {following.namespace}: on_rename = "follow" needs `penstock run`, which reopens the'
            " change stream under the new name; where an event source mapping brings the changes, leave it out."
        )


def generations_of(plan: Plan, adapters: Adapters) -> Mapping[Namespace, Generation]:
    """Find the indexes of a plan, or make those that were never used.

    Raises IndexTakenAway when one is gone or another.
    """
    known = adapters.known_indexes()
    _refuse_missing(plan, adapters, known)
    found = {each.namespace: ensure(each, adapters.indexes) for each in plan.collections}
    for namespace, generation in found.items():
        if generation.was_replaced(known):
            raise _taken_away(namespace, generation.index)
    adapters.note_indexes(each for each in found.values() if each.index not in known)
    return found


def _changes_of(plan: Plan, changes: Sequence[Change]) -> Sequence[Change]:
    """The changes that a plan gets, with documents it may use up: a later generation those of its collection alone."""
    if plan.alone is None:
        return [each._replace(document=deepcopy(each.document)) for each in changes]
    names = {each.namespace for each in plan.collections}
    return [
        each._replace(document=deepcopy(each.document))
        for each in changes
        if each.kind in CONTROL or each.namespace in names
    ]


def _give_up(plan: Plan, adapters: Adapters, error: PenstockError) -> None:
    """Go on without a generation that nobody searches; what cannot pass by itself is recorded. Else raise."""
    if plan.serves:
        raise error
    log.error("a generation is not fed; the others go on", pipeline=plan.name, reason=str(error))
    for each in plan.collections if isinstance(error, SystemicFault) else ():
        adapters.records.fail(each.settings.alias, each.number, str(error))


def _refuse_missing(plan: Plan, adapters: Adapters, known: Mapping[str, str]) -> None:
    """Refuse to create again, empty, what held documents."""
    used = {each.index: each.namespace for each in plan.collections if each.index in known}
    there = adapters.indexes.uuids(used)
    for index, namespace in used.items():
        if index not in there:
            raise _taken_away(namespace, index)


def _taken_away(namespace: Namespace, index: str) -> IndexTakenAway:
    return IndexTakenAway(
        f"The index {index} was deleted, replaced or restored by someone else since penstock first wrote to it, so"
        f" documents may be missing from it. Run `penstock load --again {namespace}` to load it again."
    )
