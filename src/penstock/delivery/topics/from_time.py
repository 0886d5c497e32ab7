"""`penstock apply --from-time`: the groups go back to a moment, and what came after it is applied again.

Versions make that harmless. An index behind a topic of penstock's own goes back to a mark, which knows the number and
the offset of every partition; one behind topics of others by the times of the records.
"""

import threading
from contextlib import closing
from datetime import UTC, datetime

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from penstock.errors import LeaseLost, SettingsError
from penstock.kafka.connection import Troubles, looking, unavailable
from penstock.kafka.control_stream import ControlStream
from penstock.kafka.positions import Committed, Partition, Place
from penstock.kafka.topic_facts import TopicFacts
from penstock.model import seconds_of, version_of
from penstock.observe.metrics import Metrics
from penstock.planner import Plan, Planner
from penstock.runtime.intervals import Intervals
from penstock.settings import Settings
from penstock.wiring import Wiring, wired
from penstock.worker.collections.patterns import expanded

log = structlog.get_logger(__name__)

_ANSWER_S = 30.0


def go_back(settings: Settings, moment: datetime, *, stop: threading.Event, intervals: Intervals) -> None:
    """Let every group begin at the moment, those of all generations.

    Raises SettingsError while a process applies, SourceUnavailable, SinkUnavailable, Stopped.
    """
    planner = Planner(expanded(settings, note=False).with_cursor_per("collection"))
    with wired(settings, metrics=Metrics(), stop=stop, intervals=intervals) as wiring:
        records = wiring.records(stop).read(planner.aliases)
        for plan in planner.plans(records):
            if plan.problem:
                raise SettingsError(plan.problem)
            _go_back(plan, wiring, moment, stop)


def _go_back(plan: Plan, wiring: Wiring, moment: datetime, stop: threading.Event) -> None:
    adapters, (fed,) = wiring.adapters(plan, stop), plan.collections
    if isinstance(stream := adapters.stream(), ControlStream):
        state = adapters.state()
        try:
            state.acquire(standby=False)
        except LeaseLost:
            raise _applies(plan) from None
        try:
            if state.load() is None:
                return  # the first start takes its own position, and loads
            passed = stream.mark_at(version_of(int(moment.timestamp()), 0))
            places = {each: passed.place(each) for each in passed.mark.ends}
            _commit(wiring, plan, adapters.group, places, stop)
            state.save(passed.position)
        finally:
            state.release()
        at = datetime.fromtimestamp(seconds_of(passed.mark.position.time), UTC)
        log.info("applying again", pipeline=plan.name, since=at.isoformat())
        return
    topics = [each.topic for each in wiring.settings.topics_of(str(fed.namespace))]
    places = _places_at(wiring, topics, moment)
    _commit(wiring, plan, adapters.group, places, stop)
    log.info("applying again", pipeline=plan.name, since=moment.isoformat())


def _places_at(wiring: Wiring, topics: list[str], moment: datetime) -> dict[Partition, Place]:
    """Return for each partition the first record that is not older; Kafka may answer with an earlier one."""
    with _consumer(wiring, "penstock.times") as consumer:
        try:
            asked = [
                TopicPartition(topic, number, round(moment.timestamp() * 1000))
                for topic in topics
                for number in consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions
            ]
            found = consumer.offsets_for_times(asked, timeout=_ANSWER_S)
            return {
                Partition(each.topic, each.partition): Place(
                    consumer.get_watermark_offsets(each, timeout=_ANSWER_S)[1]
                    if each.offset in (OFFSET_END, -1)
                    else each.offset
                )
                for each in found
            }
        except KafkaException as error:
            raise unavailable(error.args[0], wiring.settings.log) from error


def _commit(wiring: Wiring, plan: Plan, group: str, places: dict[Partition, Place], stop: threading.Event) -> None:
    """Commit for a group that has no members. Raises SettingsError when it has some."""
    ids = TopicFacts(wiring.settings.log, stop).ids(sorted({each.topic for each in places}))
    offsets = [
        TopicPartition(*each, place.offset, metadata=Committed(place, ids[each.topic]).metadata)
        for each, place in places.items()
    ]
    with _consumer(wiring, group) as consumer:
        try:
            answered = consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException:
            raise _applies(plan) from None
    if any(each.error for each in answered or ()):
        raise _applies(plan)


def _consumer(wiring: Wiring, group: str) -> "closing[Consumer]":
    settings = wiring.settings.log
    return closing(Consumer(looking(settings, Troubles(settings), group)))


def _applies(plan: Plan) -> SettingsError:
    return SettingsError(
        f"--from-time: a process applies the changes of {plan.name} at present, so it cannot go back. Stop all"
        " processes of `penstock apply` (a killed one counts until its session and its lease have run out), then start"
        " it again."
    )
