"""penstock's own topics at the brokers: made where they are missing, and looked at."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from penstock.errors import SettingsError, SourceUnavailable, Stopped
from penstock.kafka.connection import Troubles, configuration, ended_by, in_words
from penstock.observe.wording import counted
from penstock.settings import LogSettings

T = TypeVar("T")

_ANSWER_S = 30.0
_LOOK_S = 0.2
_MOST_WITHOUT_SPARE = 2
"""With this number of replicas or fewer, none may be missing for a write that waits for two of them."""


BATCH_BYTES: Final = 128 * 1024
"""How much capture sends as one batch of records, if it is not a single larger record."""
LEAST_MAX_BYTES: Final = 2 * BATCH_BYTES
"""What `max.message.bytes` of a topic must be at least (Kafka's own default is 1048588)."""


class Topic(NamedTuple):
    """A topic as the brokers have it. `max_bytes` is the largest batch of records that it takes."""

    name: str
    id: str
    partitions: int
    replication: int
    config: dict[str, str]

    @property
    def max_bytes(self) -> int:
        """The largest batch of records that it takes."""
        return int(self.config["max.message.bytes"])


@dataclass
class OwnTopics:
    """Makes and describes topics; used by one thread. All of it raises ReadAgain while the brokers are away."""

    settings: LogSettings
    _troubles: Troubles = field(init=False)
    _admin: AdminClient = field(init=False)

    def __post_init__(self) -> None:
        self._troubles = Troubles(self.settings)
        self._admin = AdminClient(configuration(self.settings, self._troubles))

    def make_marks(self, name: str) -> None:
        """Make the topic of the marks, if it is not there. Raises SettingsError, SourceUnavailable.

        Compaction keeps the newest mark for ever, and takes none away that a reader of the log may still want.
        """
        keep = {"cleanup.policy": "compact", "min.compaction.lag.ms": self._retention_ms}
        self._make([NewTopic(name, 1, self.settings.topic_replication, config={**self._safe, **keep})])

    def make(self, names: Sequence[str], stop: threading.Event) -> dict[str, Topic]:
        """Make the topics of collections, those that are not there, and describe all, once the brokers know them.

        Raises SettingsError, SourceUnavailable, Stopped.
        """
        keep = {"cleanup.policy": "delete", "retention.ms": self._retention_ms}
        wanted = self.settings
        topics = [
            NewTopic(each, wanted.topic_partitions, wanted.topic_replication, config={**self._safe, **keep})
            for each in names
        ]
        until = time.monotonic() + _ANSWER_S
        while True:
            self._make(topics)  # again, where the brokers are still about to delete one
            found = self.describe(names)
            if found.keys() >= set(names):
                return found
            if time.monotonic() > until:
                missing = ", ".join(sorted(set(names) - found.keys()))
                raise SourceUnavailable(
                    f"The brokers do not show the topics {missing}, which were made.",
                    "Look at the brokers, and whether the user may describe these topics.",
                )
            if stop.wait(_LOOK_S):
                raise Stopped("stopped while topics were made")

    def describe(self, names: Sequence[str]) -> dict[str, Topic]:
        """Return those of the topics that exist, by their names. Raises SourceUnavailable."""
        if not names:
            return {}
        asked = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=_ANSWER_S)
        found = {name: answer for name, each in asked.items() if (answer := self._unless_unknown(each)) is not None}
        if not found:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in found]
        configs = self._admin.describe_configs(resources, request_timeout=_ANSWER_S)
        config = {
            resource.name: {name: str(entry.value) for name, entry in self._answer(each).items()}
            for resource, each in configs.items()
        }
        return {
            name: Topic(
                name,
                str(each.topic_id),
                len(each.partitions),
                min(len(partition.replicas) for partition in each.partitions),
                config[name],
            )
            for name, each in found.items()
        }

    @property
    def brokers(self) -> int:
        """How many brokers there are. Raises SourceUnavailable."""
        return self._asked(lambda: len(self._admin.list_topics(timeout=_ANSWER_S).brokers))

    @property
    def _retention_ms(self) -> str:
        return str(round(self.settings.topic_retention_s * 1000))

    @property
    def _safe(self) -> dict[str, str]:
        """What keeps what was acknowledged."""
        spare = self.settings.topic_replication > _MOST_WITHOUT_SPARE
        return {"min.insync.replicas": "2"} if spare else {}

    def _make(self, topics: Sequence[NewTopic]) -> None:
        there = self.describe([each.topic for each in topics])
        missing = [each for each in topics if each.topic not in there]
        for name, made in (self._admin.create_topics(missing, request_timeout=_ANSWER_S) if missing else {}).items():
            try:
                made.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._not_made(name, error.args[0]) from error

    def _not_made(self, name: str, error: KafkaError) -> Exception:
        if error.code() == KafkaError.INVALID_REPLICATION_FACTOR:
            asked, brokers = self.settings.topic_replication, self.brokers
            return SettingsError(
                f"[log] topic_replication = {asked}: the topic {name} cannot be made on {counted(brokers, 'broker')}."
                f" Set topic_replication to {brokers} (1 keeps a single copy: for trying out), or add brokers."
            )
        if error.code() in (KafkaError.TOPIC_EXCEPTION, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG):
            return SettingsError(
                f"The topic {name} cannot be made: {in_words(error)}. Change [log] prefix, topic_partitions,"
                " topic_replication or topic_retention_s; or make the topic yourself, as docs/kafka.md says."
            )
        return ended_by(error, self.settings, self._troubles.last)

    def _unless_unknown(self, asked: "Future[Any]") -> Any:
        try:
            return asked.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise ended_by(error.args[0], self.settings, self._troubles.last) from error

    def _answer(self, asked: "Future[T]") -> T:
        return self._asked(asked.result)

    def _asked(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except KafkaException as error:
            raise ended_by(error.args[0], self.settings, self._troubles.last) from error
