"""What capture has put into the log, read as anybody may who reads what is committed."""

from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

import bson
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from penstock.kafka.log import Mark, Numbered, marks_topic_of, numbered
from penstock.kafka.partitioner import partitions_of
from penstock.mongo.codec import CODEC

_ANSWER_S = 60.0


@dataclass(frozen=True)
class LogRecord:
    """One change in the log."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None
    time_ms: int
    said: Numbered

    @property
    def id(self):
        return bson.decode(self.key, CODEC)["_id"]

    @property
    def document(self) -> dict | None:
        return None if self.value is None else bson.decode(self.value, CODEC)


class CapturedLog:
    """The topics of one prefix and database."""

    def __init__(self, servers: str, prefix: str, db: str) -> None:
        self.servers = servers
        self.prefix = prefix
        self.db = db
        self.admin = AdminClient({"bootstrap.servers": servers})

    def topic(self, coll: str) -> str:
        return f"{self.prefix}.{self.db}.{coll}"

    def marks(self, own: str | None = None) -> list[Mark]:
        """All marks that are kept, in their order."""
        topic = marks_topic_of(self.prefix, self.db, own)
        return [Mark.decoded(value) for _, _, _, value, _, _ in self._read(topic)]

    def records(self, coll: str) -> list[LogRecord]:
        """The changes of a collection, by their versions.

        Their numbers rise by one from 1 on, and each is where its key belongs.
        """
        found = self._read(self.topic(coll))
        records = [LogRecord(*each[:-1], numbered(each[-1])) for each in found]
        by_partition: dict[int, list[LogRecord]] = {}
        for each in records:
            by_partition.setdefault(each.partition, []).append(each)
        partitions = self.partitions(coll)
        for partition, its in by_partition.items():
            numbers = [each.said.number for each in its]
            assert numbers == list(range(1, len(its) + 1)), f"partition {partition}: {_jumps(numbers)}"
            assert set(partitions_of([each.key for each in its], partitions)) <= {partition}
        return sorted(records, key=lambda each: each.said.version)

    def partitions(self, coll: str) -> int:
        return len(self.admin.list_topics(self.topic(coll), timeout=_ANSWER_S).topics[self.topic(coll)].partitions)

    def state(self, coll: str) -> dict:
        """What the collection holds, by the log: the last of each document, as an `_id` and a document."""
        latest = {each.key: each for each in self.records(coll)}
        return {each.key: each.document for each in latest.values() if each.said.kind != "delete"}

    def _read(self, topic: str) -> list[tuple]:
        config = {
            "bootstrap.servers": self.servers,
            "group.id": f"reads-{topic}",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
        with closing(Consumer(config)) as consumer:
            its = consumer.list_topics(topic, timeout=_ANSWER_S).topics[topic]
            if its.error:
                return []
            consumer.assign([TopicPartition(topic, each, 0) for each in its.partitions])
            ended: set[int] = set()
            found = []
            while len(ended) < len(its.partitions):
                message = consumer.poll(_ANSWER_S)
                assert message is not None, (
                    f"{topic}: partitions {ended} of {len(its.partitions)} were read to their end"
                )
                if error := message.error():
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(message.partition())
                    continue
                _, time_ms = message.timestamp()
                found.append(
                    (message.partition(), message.offset(), message.key(), message.value(), time_ms, message.headers())
                )
            return found


def _jumps(numbers: list[int]) -> list[tuple[int, int]]:
    return [(one, two) for one, two in pairwise([0, *numbers]) if two != one + 1][:5]
