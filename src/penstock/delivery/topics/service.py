"""All indexes that topics feed, in one process; more processes with the same settings share the partitions."""

import threading

from penstock.delivery.databases import require_mappable
from penstock.delivery.topics.follower import TopicFollower
from penstock.errors import SettingsError
from penstock.kafka.connection import require_brokers
from penstock.observe.health import Health
from penstock.observe.metrics import Metrics
from penstock.planner import Plan, Planner
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import Settings
from penstock.wiring import wired
from penstock.worker.reporter import Reporter
from penstock.worker.supervisor import Supervisor


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
    each_alone = settings.source.model_copy(update={"cursor_per": "collection"})  # a group feeds one index
    planner = Planner(settings.model_copy(update={"source": each_alone}))
    require_brokers(settings.log)
    with wired(settings, metrics=metrics, stop=stop, intervals=intervals) as wiring:

        def follower(plan: Plan) -> TopicFollower:
            collections = [each.namespace for each in plan.collections]
            return TopicFollower(plan, wiring, Reporter(plan.name, metrics, health, collections))

        Supervisor(lambda: planner, wiring.records(stop), follower, metrics, health, intervals).run(stop)


def _require_topics(settings: Settings) -> None:
    """Raise SettingsError for a collection whose changes nothing brings, and for what topics cannot bring."""
    require_mappable(settings)
    without = [each.namespace for each in settings.collections if not settings.topics_of(each.namespace)]
    if without:
        raise SettingsError(
            f"[[collections]] {', '.join(without)}: no [[topics]] table names the topic that brings the changes;"
            " add one"
        )
