"""A topic of tasks: each member of a group takes those of its partitions; what is committed is done."""

from collections.abc import Mapping, Sequence
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from penstock.errors import SourceUnavailable
from penstock.kafka.connection import Troubles, configuration, looking, may_pass, unavailable
from penstock.settings import LogSettings

_ANSWER_S = 30.0
_WRITTEN_WITHIN_S = 120.0

Ends = Mapping[int, tuple[int, int]]
"""For each partition the offset of its first task, and the offset behind its last one."""


class Tasks:
    """The tasks in one topic, and how far a group is with them. A context manager. Used by one thread."""

    def __init__(self, settings: LogSettings, topic: str, group: str) -> None:
        self._settings, self._topic = settings, topic
        self._troubles = Troubles(settings)
        self._config = configuration(settings, self._troubles)
        self._consumer = Consumer(looking(settings, self._troubles, group))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def write(self, tasks: Sequence[bytes], *, filler: bytes | None = None) -> Ends:
        """Write the tasks in turn into the partitions, and make the topic before, if there is none.

        With a `filler` no partition is left without a task: when all is done, all partitions are with members who know
        these tasks, so nobody is at work at earlier ones. Raises SourceUnavailable; then some of them may be there.
        """
        try:
            partitions = self._partitions() or self._created()
            more = [filler] * (len(partitions) - len(tasks)) if filler else []
            return self._written([*tasks, *more], partitions)
        except KafkaException as error:
            raise unavailable(error.args[0], self._settings, self._troubles.last) from error

    def done(self, ends: Ends) -> int | None:
        """Return how many of the tasks the group has committed, None while no broker says. Raises SourceUnavailable."""
        try:
            asked = [TopicPartition(self._topic, number) for number in ends]
            found = self._consumer.committed(asked, timeout=_ANSWER_S)
        except KafkaException as error:
            self._require_may_pass(error)
            return None
        committed = {each.partition: each.offset for each in found if not each.error}
        return sum(
            min(max(committed.get(number, first) - first, 0), end - first) for number, (first, end) in ends.items()
        )

    def are_lost(self, ends: Ends) -> bool:
        """Whether the topic certainly no longer has the tasks. Raises SourceUnavailable."""
        try:
            if len(self._partitions()) <= max(ends, default=-1):
                return True
            highest = {
                number: self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=_ANSWER_S)
                for number in ends
            }
        except KafkaException as error:
            self._require_may_pass(error)
            return False
        return any(at is not None and at[1] < ends[number][1] for number, at in highest.items())

    def _require_may_pass(self, error: KafkaException) -> None:
        reason = error.args[0]
        if not may_pass(reason):
            raise unavailable(reason, self._settings, self._troubles.last) from error
        self._troubles(reason)

    def _partitions(self) -> Sequence[int]:
        found = self._consumer.list_topics(self._topic, timeout=_ANSWER_S).topics[self._topic]
        if found.error and found.error.code() not in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            raise KafkaException(found.error)
        return sorted(found.partitions)

    def _created(self) -> Sequence[int]:
        admin, settings = AdminClient(self._config), self._settings
        brokers = len(admin.list_topics(timeout=_ANSWER_S).brokers)
        topic = NewTopic(
            self._topic,
            num_partitions=settings.topic_partitions,
            replication_factor=min(settings.topic_replication, brokers),
            config={"retention.ms": "-1", "cleanup.policy": "delete"},
        )
        try:
            admin.create_topics([topic])[self._topic].result(_ANSWER_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        return range(settings.topic_partitions)

    def _written(self, tasks: Sequence[bytes], partitions: Sequence[int]) -> Ends:
        producer = Producer({**self._config, "enable.idempotence": True, "linger.ms": 5})
        offsets: dict[int, list[int]] = {number: [] for number in partitions}
        refused: list[KafkaError] = []

        def answered(error: KafkaError | None, message: Message) -> None:
            if error:
                refused.append(error)
            else:
                offsets[message.partition() or 0].append(message.offset() or 0)

        for place, task in enumerate(tasks):
            number = partitions[place % len(partitions)]
            producer.produce(self._topic, task, partition=number, on_delivery=answered)
            producer.poll(0)
        if producer.flush(_WRITTEN_WITHIN_S):
            raise SourceUnavailable(
                f"The log at {self._settings.bootstrap_servers} did not take the ranges of a load within"
                f" {_WRITTEN_WITHIN_S:.0f} s: {self._troubles.last or 'no answer'}.",
                "Run the command again.",
            )
        if refused:
            raise KafkaException(refused[0])
        return {number: (min(its), max(its) + 1) for number, its in offsets.items() if its}
