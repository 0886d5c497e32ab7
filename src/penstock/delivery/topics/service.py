"""All indexes that topics feed, in one process; more processes with the same settings share the partitions."""

import threading
from functools import partial

from penstock.delivery.databases import require_mappable
from penstock.delivery.shared_load.conductor import Conductor
from penstock.delivery.shared_load.watch import LoadWatch
from penstock.delivery.topics.follower import OwnFollower, TopicFollower
from penstock.delivery.topics.newest_mark import NewestMark
from penstock.errors import SettingsError
from penstock.kafka.connection import require_brokers
from penstock.kafka.log import marks_topic_for
from penstock.model import Namespace
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics
from penstock.planner import Plan, Planner
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.runtime.threads import ChildEvent, side_by_side
from penstock.settings import Settings
from penstock.wiring import Adapters, Wiring, wired
from penstock.worker.collections.expansion import log_problems, patterns_of
from penstock.worker.follower import Follower
from penstock.worker.progress import NoProgress
from penstock.worker.pulse import Pulse
from penstock.worker.reporter import Reporter
from penstock.worker.supervisor import Supervisor
from penstock.worker.worker import WorkerConnections


def run(
    settings: Settings,
    *,
    stop: threading.Event,
    metrics: Metrics,
    health: Health | None = None,
    intervals: Intervals = INTERVALS,
) -> None:
    """Apply what the topics hold, and what comes, until `stop` is set.

    Raises SettingsError, PositionLost, SourceUnavailable, SinkUnavailable, SystemicFault.
    """
    _require_topics(settings)
    planner = Planner(settings.with_cursor_per("collection"))  # a group feeds one index
    require_brokers(settings.log, stop)
    own = [Namespace.named(each.namespace) for each in settings.collections if settings.has_own_topic(each.namespace)]
    newest = {topic: NewestMark(settings.log, topic) for topic in {marks_topic_for(settings, each) for each in own}}
    with wired(settings, metrics=metrics, stop=stop, intervals=intervals) as wiring:
        collections = WorkerConnections(wiring, health).collections(planner, stop, only_found=True)
        if patterns_of(settings):
            collections.start(stop)

        def planned() -> Planner:
            return collections.planner

        def follower(plan: Plan) -> TopicFollower:
            metrics.begin("pipeline", plan.name)
            reporter = Reporter(plan.name, metrics, health, [each.namespace for each in plan.collections])
            if not wiring.adapters(plan, stop).has_own_topic:
                return TopicFollower(plan, wiring, reporter)
            marks = newest[marks_topic_for(settings, plan.collections[0].namespace)]
            return OwnFollower(plan, wiring, reporter, keeper=_keeper(plan, wiring), newest=lambda: marks.mark)

        done = ChildEvent(stop)
        supervisor = Supervisor(planned, wiring.records(stop), follower, metrics, health, intervals)
        pulse = Pulse(settings, wiring.client, intervals, metrics, supervisor.states, supervisor.shares)
        of_loads = Planner(settings)
        loads = LoadWatch(planned if patterns_of(settings) else lambda: of_loads, wiring)

        def work() -> None:
            supervisor.run(done)
            done.set()

        readers = [partial(each.keep_reading, done) for each in newest.values()]
        side_by_side(
            done,
            work,
            lambda: pulse.keep_beating(done),
            lambda: loads.keep_looking(done),
            lambda: collections.keep_looking(done, intervals.patterns_s),
            *readers,
        )


def _keeper(plan: Plan, wiring: Wiring) -> Follower:
    def adapters(stop: threading.Event) -> Adapters:
        return wiring.adapters(plan, stop, leased=True)

    reporter = Reporter(plan.name, wiring.metrics, collections=[each.namespace for each in plan.collections])
    lease_s = wiring.settings.pipeline.lease_s
    sharing = Conductor(wiring, takes_part=False)
    return Follower(plan, adapters, lease_s, wiring.metrics, reporter, NoProgress(), wiring.intervals, sharing)


def _require_topics(settings: Settings) -> None:
    """Raise SettingsError for a collection whose changes nothing brings, and for what topics cannot bring."""
    others = [each for each in settings.collections if not settings.has_own_topic(each.namespace)]
    require_mappable(settings.model_copy(update={"collections": tuple(others)}))
    if problems := log_problems(settings):
        raise SettingsError(*problems)
    without = [each.namespace for each in others if not settings.topics_of(each.namespace)]
    if without:
        raise SettingsError(
            f"[[collections]] {', '.join(without)}: no [[topics]] table names the topic that brings the changes; add"
            " one, or set [log] own_topics to true and start `penstock capture`"
        )
