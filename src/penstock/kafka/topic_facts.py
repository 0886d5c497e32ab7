"""What the brokers say of topics: the id of each, and where its partitions begin."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from penstock.errors import Stopped
from penstock.kafka.connection import Troubles, configuration, may_pass, unavailable
from penstock.kafka.positions import Partition
from penstock.runtime.backoff import Backoff
from penstock.settings import LogSettings

T = TypeVar("T")

_ANSWER_S = 10.0


class TopicFacts:
    """Asks, and waits while the brokers are away or the topic is not there. For one thread at a time."""

    def __init__(self, settings: LogSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._troubles = Troubles(settings)
        self._client = AdminClient(configuration(settings, self._troubles))

    def ids(self, topics: Sequence[str]) -> dict[str, str]:
        """Return the id of each topic: one that was deleted and made again has another. Raises Stopped."""

        def ask() -> dict[str, str]:
            asked = self._client.describe_topics(TopicCollection(list(topics)), request_timeout=_ANSWER_S)
            return {topic: str(found.result().topic_id) for topic, found in asked.items()}

        return self._asked(ask)

    def first_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the offset of the oldest record that each partition holds, or of the next one. Raises Stopped."""
        wanted = {TopicPartition(*each): OffsetSpec.earliest() for each in partitions}  # type: ignore[no-untyped-call]

        def ask() -> dict[Partition, int]:
            asked = self._client.list_offsets(wanted, request_timeout=_ANSWER_S) if wanted else {}
            return {Partition(each.topic, each.partition): found.result().offset for each, found in asked.items()}

        return self._asked(ask)

    def _asked(self, ask: Callable[[], T]) -> T:
        pause = Backoff(self._stop)
        while not self._stop.is_set():
            try:
                return ask()
            except KafkaException as error:
                if not may_pass(error.args[0]):
                    raise unavailable(error.args[0], self._settings, self._troubles.last) from error
                self._troubles(error.args[0])
                pause.wait()
        raise Stopped("stopped while asking the brokers")
