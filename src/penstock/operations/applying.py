"""Changes that others brought (an event source mapping, a queue), applied once: no lease, no position of our own.

The same pipeline as the worker's does it, from a source that holds one batch.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from penstock.build import Adapters
from penstock.change import CONTROL, Batch, Change, Counts, Namespace, Outcome, Position, Write
from penstock.errors import SettingsError, Stopped, SystemicFault
from penstock.metrics import Metrics
from penstock.mongo.current import with_states
from penstock.opensearch.indexes import Generation
from penstock.operations.gone import affects, indexed, taken_away
from penstock.operations.starting import ensure
from penstock.pipeline import Pipeline, Ports
from penstock.plans import Collection, Plan, Planner
from penstock.ports import Sink
from penstock.prepare import Route
from penstock.retry import Backoff
from penstock.settings import Settings

log = structlog.get_logger(__name__)

LOOK_AGAIN_S = 60.0
"""How long a process that lives on may not notice that an index was replaced, or that there is another generation."""


class NothingKept:
    """A checkpoint for whom someone else keeps the position."""

    def load(self) -> Position | None:
        """There is none."""
        return None

    def save(self, position: Position) -> None:
        """Keep nothing: the caller learns by the return that everything is safe."""


@dataclass
class OneBatch:
    """A `penstock.ports.Source` of changes at hand; reads the state of the `left` ones anew each time it is read.

    It is read again after a request whose answer was lost, so `again` waits before that.
    """

    changes: Sequence[Change]
    position: Position
    adapters: Adapters
    again: Backoff
    reads: int = 0

    def batches(self, after: Position | None) -> Iterator[Batch]:  # noqa: ARG002 (of the port)
        """Yield the one batch. Raises SourceUnavailable, Stopped."""
        if self.reads:
            self.again.wait()
        self.reads += 1
        read_at = time.monotonic()
        changes = self.changes
        if any(change.kind == "left" for change in changes):
            changes = self.adapters.ask(with_states, changes)
        yield Batch(list(changes), self.position, read_at)

    def close(self) -> None:
        """There is nothing to close."""


@dataclass
class _UntilStopped:
    """A `penstock.ports.Sink` that begins nothing once it is told to stop.

    A caller that could wait no longer has left its thread behind, in a container that may be frozen and go on much
    later: what it writes then may be older than a tombstone that the index has forgotten.
    """

    sink: Sink
    stop: threading.Event

    def write(self, writes: Sequence[Write], *, send_before: float | None = None) -> list[Outcome]:
        """See `penstock.ports.Sink`. Raises Stopped too."""
        if self.stop.is_set():
            raise Stopped("told to stop before the writes were sent")
        return self.sink.write(writes, send_before=send_before)


class Fed(NamedTuple):
    """A plan, and its generations as they were found."""

    plan: Plan
    generations: Mapping[Namespace, Generation]


@dataclass
class Database:
    """The generations of one database's collections; looked at from time to time by a process that lives on.

    `join` makes what a plan is joined to.
    """

    planner: Planner
    join: Callable[[Plan, threading.Event], Adapters]
    metrics: Metrics
    _fed: list[Fed] = field(default_factory=list)
    _looked_at: float = 0.0

    @property
    def namespaces(self) -> set[Namespace]:
        """The declared collections."""
        return {each.namespace for each in self.planner.declared}

    def apply(self, changes: Sequence[Change], position: Position, stop: threading.Event) -> Counts:
        """Apply the changes to every generation, first to those that people search.

        Doing it twice changes nothing. What fails for good in a generation that nobody searches is recorded, and it is
        fed no more. Raises Stopped, SettingsError, SourceUnavailable, SinkUnavailable, SystemicFault; then nobody knows
        which of the changes were applied.
        """
        counts, found = Counts(), self._found(stop)
        for fed in found:
            its = _changes_of(fed.plan, changes) if len(found) > 1 else changes
            applying = Applying(fed.plan, self.join(fed.plan, stop), fed.generations, self.metrics)
            try:
                counts.add(applying.apply(its, position, stop))
            except SystemicFault as error:
                self._fed = []  # an index may have been taken away; another one may have its name the next time
                if fed.plan.serves:
                    raise
                _give_up(applying, error)
        return counts

    def _found(self, stop: threading.Event) -> list[Fed]:
        """Raises SettingsError, SystemicFault when an index was replaced behind penstock's back."""
        if not self._fed or time.monotonic() - self._looked_at > LOOK_AGAIN_S:
            self._fed = []
            records = self.join(self.planner.plans({})[0], stop).records.read(self.planner.aliases)
            plans = sorted(self.planner.plans(records), key=lambda plan: not plan.serves)
            self._fed = [Fed(plan, _generations(plan, self.join(plan, stop))) for plan in plans if _can_be_fed(plan)]
            self._looked_at = time.monotonic()
        return self._fed


def databases(
    settings: Settings, join: Callable[[Plan, threading.Event], Adapters], metrics: Metrics
) -> dict[str, Database]:
    """One for each database, whatever cursors a worker would have. Raises SettingsError."""
    source = settings.source.model_copy(update={"cursor_per": "database"})
    found: dict[str, Database] = {}
    for db in sorted({Namespace.named(each.namespace).db for each in settings.collections}):
        its = tuple(each for each in settings.collections if Namespace.named(each.namespace).db == db)
        planner = Planner(settings.model_copy(update={"source": source, "collections": its}))
        found[db] = Database(planner, join, metrics)
    return found


def _can_be_fed(plan: Plan) -> bool:
    """Raises SettingsError when people search in what this process cannot feed."""
    if plan.problem and plan.serves:
        raise SettingsError(plan.problem)
    if plan.problem:
        log.warning("a generation is not fed", pipeline=plan.name, reason=plan.problem)
    return not plan.problem


def _generations(plan: Plan, adapters: Adapters) -> Mapping[Namespace, Generation]:
    found = {each.namespace: ensure(each, adapters) for each in plan.collections}
    _refuse_replaced(found, adapters.known_indexes())
    return found


def _changes_of(plan: Plan, changes: Sequence[Change]) -> Sequence[Change]:
    """What a plan is told: a generation alone its own collection's changes, with documents of its own to use up."""
    if plan.alone is None:
        return [each._replace(document=deepcopy(each.document)) for each in changes]
    names = {each.namespace for each in plan.collections}
    return [
        each._replace(document=deepcopy(each.document))
        for each in changes
        if each.kind in CONTROL or each.namespace in names
    ]


def _give_up(applying: "Applying", error: SystemicFault) -> None:
    log.error("a generation failed; the others go on", pipeline=applying.plan.name, reason=str(error))
    for each in applying.plan.collections:
        applying.adapters.records.fail(each.settings.alias, each.number, str(error))


def _refuse_replaced(found: Mapping[Namespace, Generation], known: Mapping[str, str]) -> None:
    for namespace, generation in found.items():
        if generation.was_replaced(known):
            raise SystemicFault(
                f"The index {generation.index} was deleted, replaced or restored by someone else since it was loaded,"
                f" so nobody knows what it lacks. Run `penstock load --again {namespace}` to load it anew."
            )


@dataclass
class Applying:
    """Applies changes to the generations of one plan."""

    plan: Plan
    adapters: Adapters
    generations: Mapping[Namespace, Generation]
    metrics: Metrics

    def apply(self, changes: Sequence[Change], position: Position, stop: threading.Event) -> Counts:
        """Apply the changes, in order, and answer what became of them; `left` ones are read from the source first.

        Doing it twice changes nothing. Raises Stopped, SourceUnavailable, SinkUnavailable, SystemicFault; then nobody
        knows which of them were applied.
        """
        collections = {each.namespace: each for each in self.plan.collections}
        read_outside = any(change.kind == "left" for change in changes)
        batch = OneBatch(changes, position, self.adapters, Backoff(stop))
        pipeline = Pipeline(
            name=self.plan.name,
            ports=Ports(
                lambda: batch,
                _UntilStopped(self.adapters.sink, stop),
                self.adapters.dead_letters,
                NothingKept(),
            ),
            routes={
                name: Route(self.generations[name].write_alias, each.transform) for name, each in collections.items()
            },
            rules=self.adapters.rules(outside_the_stream=read_outside),
            metrics=self.metrics,
            on_control=self._on_control,
        )
        pipeline.run(stop)
        return pipeline.counts

    def _on_control(self, change: Change) -> None:
        for each in self.plan.collections:
            if affects(change, each.namespace):
                self._taken_away(each, change)

    def _taken_away(self, collection: Collection, change: Change) -> None:
        generation = self.generations[collection.namespace]
        taken_away(
            collection,
            change,
            load=self.adapters.load_state(collection, generation).open(),
            documents=indexed(self.adapters.client, self.adapters.patience, generation.index),
            sink=self.adapters.sink,
            alias=generation.write_alias,
        )
