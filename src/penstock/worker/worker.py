"""The worker: all pipelines of the settings in one process.

run     load where needed, then follow the changes until stopped
load    the loads alone
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog

from penstock.errors import SettingsError
from penstock.model import Counts, Namespace
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics
from penstock.opensearch.state.pattern_state import PatternState
from penstock.planner import Plan, Planner
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.settings import Settings
from penstock.wiring import Adapters, Wiring, wired
from penstock.worker.collections.admission import Admission, CollectionWatch
from penstock.worker.collections.expansion import patterns_of
from penstock.worker.collections.patterns import Patterns
from penstock.worker.follower import Follower
from penstock.worker.loader import SharesLoads
from penstock.worker.progress import LoadResult, NoProgress, Progress
from penstock.worker.pulse import Pulse
from penstock.worker.reactions import ReactionRunner, prepared
from penstock.worker.reporter import Reporter
from penstock.worker.supervisor import Supervisor

log = structlog.get_logger(__name__)


def run(
    settings: Settings,
    *,
    stop: threading.Event,
    metrics: Metrics,
    health: Health | None = None,
    progress: Progress | None = None,
    intervals: Intervals = INTERVALS,
) -> None:
    """Serve all collections, and what matches a pattern as it appears, until `stop` is set.

    A pipeline in which people search ends the others when it fails; a reaction does not.

    Raises SettingsError, PositionLost, SourceUnavailable, SinkUnavailable, SystemicFault.
    """
    _require_no_topics(settings)
    planner = Planner(settings)  # before anything is connected to: a wrong setting ends it at once
    reactions = prepared(settings, stop)
    with connected(settings, metrics=metrics, stop=stop, health=health, intervals=intervals) as connections:
        collections = connections.collections(planner, stop)
        collections.start(stop)
        if patterns_of(settings) and not collections.planner.declared:
            log.info("nothing matches the patterns yet")
        done = ChildEvent(stop)

        def follower(plan: Plan) -> Follower:
            return connections.follower(plan, progress or NoProgress())

        records = connections.wiring.records(stop)
        supervisor = Supervisor(lambda: collections.planner, records, follower, metrics, health, intervals)
        runners = [ReactionRunner(each, connections.wiring, health) for each in reactions]
        wiring = connections.wiring

        def states() -> dict[str, str]:
            return supervisor.states() | {each.state_id: each.state for each in runners}

        pulse = Pulse(wiring.settings, wiring.client, wiring.intervals, metrics, states)

        def work() -> None:
            supervisor.run(done)
            done.set()

        side_by_side(
            done,
            work,
            lambda: pulse.keep_beating(done),
            lambda: collections.keep_looking(done, intervals.patterns_s),
            *(partial(each.keep_running, done) for each in runners),
        )


def _require_no_topics(settings: Settings) -> None:
    """Raise SettingsError for collections whose changes go through topics of penstock's own."""
    names = [each.namespace for each in settings.collections if settings.has_own_topic(each.namespace)]
    if names:
        raise SettingsError(
            f"[[collections]] {', '.join(names)}: [log] own_topics is true, so `penstock capture` writes the changes"
            " into topics and `penstock apply` brings them to the indexes. Start these two; or set own_topics to false"
        )


def load(
    settings: Settings,
    *,
    stop: threading.Event,
    metrics: Metrics,
    progress: Progress,
    only: frozenset[str],
    again: bool = False,
    intervals: Intervals = INTERVALS,
    sharing: Callable[[Wiring], SharesLoads] | None = None,
) -> list[LoadResult]:
    """Load those collections of `only` that are not loaded yet; with `again` all of them, removing what is gone.

    With `sharing` other processes take part.

    The position of each stream is saved first, so that `run` goes on from there. Return fewer results when `stop`
    ended it, and the next load goes on where this one was; and where a collection cannot be served yet, which is said.
    """
    planner = Planner(settings)
    with connected(settings, metrics=metrics, stop=stop, intervals=intervals) as connections:
        collections = connections.collections(planner, stop)
        collections.start(stop)
        planner = collections.planner
        if not any(str(each.namespace) in only for each in planner.declared):
            raise SettingsError(*collections.admission.reasons(only))
        records = connections.wiring.records(stop).read(planner.aliases)
        renewed = frozenset(map(Namespace.named, only)) if again else frozenset[Namespace]()
        shared = sharing(connections.wiring) if sharing else None
        plans = planner.plans(records, renewed=renewed)
        followers = [connections.follower(plan, progress, sharing=shared) for plan in plans]
        return [result for each in followers for result in each.load_once(stop, only, again=again)]


@dataclass(frozen=True)
class WorkerConnections:
    """A process's wiring; `counts` is what its pipelines have done, by their names."""

    wiring: Wiring
    health: Health | None
    counts: dict[str, Counts] = field(default_factory=dict)

    def collections(self, planner: Planner, stop: threading.Event, *, only_found: bool = False) -> CollectionWatch:
        """What is to be served of the collections of the settings."""
        wiring = self.wiring
        found = PatternState(wiring.store(stop), wiring.settings.pipeline.name)
        patterns = Patterns(wiring.settings, wiring.connection, found)
        return CollectionWatch(patterns, Admission(wiring, wiring.records(stop), self.health, only_found), planner)

    def follower(self, plan: Plan, progress: Progress, *, sharing: SharesLoads | None = None) -> Follower:
        """Make the follower of a pipeline; one that starts again continues its counts."""

        def adapters(stop: threading.Event) -> Adapters:
            return self.wiring.adapters(plan, stop, leased=True)

        wiring, counts = self.wiring, self.counts.setdefault(plan.name, Counts())
        collections = [each.namespace for each in plan.collections]
        wiring.metrics.begin("pipeline", plan.name)
        reporter = Reporter(plan.name, wiring.metrics, self.health, collections, counts=counts)
        lease_s = wiring.settings.pipeline.lease_s
        return Follower(plan, adapters, lease_s, wiring.metrics, reporter, progress, wiring.intervals, sharing)


@contextmanager
def connected(
    settings: Settings,
    *,
    metrics: Metrics,
    stop: threading.Event,
    health: Health | None = None,
    intervals: Intervals = INTERVALS,
) -> Iterator[WorkerConnections]:
    """Open the connections to both. Raises SettingsError, SourceUnavailable, SinkUnavailable."""
    connections = 5 + len(settings.collections) * (settings.sink.requests_in_flight + 2) + 3 * len(settings.reactions)
    with wired(settings, metrics=metrics, connections=connections, intervals=intervals, stop=stop) as wiring:
        yield WorkerConnections(wiring, health)
