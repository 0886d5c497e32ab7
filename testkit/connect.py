"""What a connector does: topics that others fill, from recordings or from a change stream."""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import bson
from bson import json_util
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pymongo.database import Database

from penstock.kafka.connection import may_pass
from testkit.workspace import meanwhile, until

RECORDED = Path(__file__).parent / "topics"
_WITHIN_S = 60.0


class Recorded(NamedTuple):
    """One record as a connector wrote it; `coll` is empty where it is about a whole database."""

    coll: str
    key: bytes | None
    value: bytes | None


def recorded(file: str, db: str) -> list[Recorded]:
    """The records of a file of `testkit/topics`, in their order, as if the database `shop` were called `db`."""
    lines = (json.loads(line) for line in (RECORDED / f"{file}.jsonl").read_text().splitlines())
    return [_recorded(line, db) for line in sorted(lines, key=lambda line: line["timestamp"])]


def _recorded(line: dict[str, Any], db: str) -> Recorded:
    _, _, name = line["topic"].partition(".")
    return Recorded(name.partition(".")[2], _bytes(line, "key", db), _bytes(line, "value", db))


def _bytes(line: dict[str, Any], part: str, db: str) -> bytes | None:
    if f"{part}_base64" in line:
        event = bson.decode(base64.b64decode(line[f"{part}_base64"]))
        if "ns" in event:
            event["ns"]["db"] = db
        return bson.encode(event)
    text = line[part]
    if text is None:
        return None
    return text.replace('"db": "shop"', f'"db": "{db}"').replace('"db":"shop"', f'"db":"{db}"').encode()


class Topics:
    """Topics on a broker, which tests fill."""

    def __init__(self, servers: str) -> None:
        self.servers = servers
        self._admin = AdminClient({"bootstrap.servers": servers})
        self._producer = Producer(
            {"bootstrap.servers": servers, "acks": "all", "linger.ms": 1, "partitioner": "murmur2_random"}
        )

    def create(self, name: str, partitions: int = 1, **config: str) -> None:
        """Make a topic."""
        made = self._admin.create_topics([NewTopic(name, partitions, 1, config=config)])
        made[name].result(_WITHIN_S)

        def is_known() -> bool:
            found = self._admin.list_topics(timeout=_WITHIN_S).topics.get(name)
            return found is not None and not found.error and len(found.partitions) == partitions

        until(is_known, f"{name} is known")  # a broker hears of a new topic a moment later

    def id_of(self, name: str) -> str:
        """The id of a topic."""

        def described() -> str:
            try:
                return str(self._admin.describe_topics(TopicCollection([name]))[name].result(_WITHIN_S).topic_id)
            except KafkaException:
                return ""

        return until(described, f"the id of {name}")

    def delete(self, name: str) -> None:
        """Delete a topic, and wait until it is gone."""
        self._admin.delete_topics([name])[name].result(_WITHIN_S)
        until(lambda: name not in self._admin.list_topics(timeout=_WITHIN_S).topics, f"{name} is gone")

    def send(self, topic: str, key: bytes | None, value: bytes | None, *, timestamp_ms: int = 0) -> None:
        """Produce a record, of the present time unless another one is given; `flush` waits for it."""
        while True:
            try:
                self._producer.produce(topic, key=key, value=value, timestamp=timestamp_ms)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def send_together(self, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Produce records in a transaction: its end takes an offset in each partition, as the log's own records do."""
        producer = Producer({"bootstrap.servers": self.servers, "transactional.id": topic})
        producer.init_transactions(_WITHIN_S)
        producer.begin_transaction()
        for key, value in records:
            producer.produce(topic, key=key, value=value)
        producer.commit_transaction(_WITHIN_S)

    def flush(self) -> None:
        """Wait until all that was produced is in the log."""
        assert self._producer.flush(_WITHIN_S) == 0

    def forget(self, topic: str, *, before: int) -> None:
        """Delete the records of the first partition before an offset, as retention does."""
        wanted = TopicPartition(topic, 0, before)
        self._admin.delete_records([wanted])[wanted].result(_WITHIN_S)

    def forget_group(self, group: str) -> None:
        """Delete the offsets of a group once it has no members, as the brokers do when it had none for long enough."""

        def forgotten() -> bool:
            try:
                self._admin.delete_consumer_groups([group])[group].result(_WITHIN_S)
            except KafkaException as error:
                code = error.args[0].code()
                if code != KafkaError.NON_EMPTY_GROUP and not may_pass(error.args[0]):
                    raise
                return False
            return True

        until(forgotten, f"{group} has no members")

    def protocol_of(self, group: str) -> str:
        """The protocol by which a group shares its partitions, as the broker knows it."""
        found = self._admin.describe_consumer_groups([group])[group].result(_WITHIN_S)
        return str(found.type.name).lower()

    def count(self, name: str) -> int:
        """The records of a topic that nothing was deleted from."""
        with closing(Consumer({"bootstrap.servers": self.servers, "group.id": "count"})) as looker:
            partitions = looker.list_topics(name).topics[name].partitions
            return sum(looker.get_watermark_offsets(TopicPartition(name, each))[1] for each in partitions)

    def forget_all(self, topic: str) -> None:
        """Delete all records of a topic, as retention does."""
        partitions = [
            TopicPartition(topic, each, OFFSET_END) for each in self._admin.list_topics(topic).topics[topic].partitions
        ]
        for done in self._admin.delete_records(partitions).values():
            done.result(_WITHIN_S)

    def until_applied(self, group: str, topic: str) -> None:
        """Wait until a group has committed all that a topic holds."""
        with closing(Consumer({"bootstrap.servers": self.servers, "group.id": group})) as looker:
            partitions = [TopicPartition(topic, each) for each in looker.list_topics(topic).topics[topic].partitions]
            ends = [looker.get_watermark_offsets(each)[1] for each in partitions]

            def committed() -> list[int]:
                try:
                    return [max(0, each.offset) for each in looker.committed(partitions, timeout=_WITHIN_S)]
                except KafkaException as error:
                    if not may_pass(error.args[0]):
                        raise
                    return []  # the first group of a broker waits for the topic of the offsets

            until(lambda: committed() == ends, lambda: f"{group} at {ends} of {topic}, but {committed()}")

    @contextmanager
    def connector(self, database: Database, coll: str, topic: str, *, form: str) -> Iterator[None]:
        """Bring the changes of a collection to a topic as a connector does: whole events in JSON, or keys alone."""
        stream = database.get_collection(coll).watch(full_document="updateLookup", max_await_time_ms=50)

        def work(stop) -> None:
            with stream:
                while stream.alive:
                    is_last = stop.is_set()  # asked first: what was written before the end is read
                    event = stream.try_next()
                    if event is not None:
                        self._send_event(event, topic, form)
                    elif is_last:
                        return

        with meanwhile(work):
            yield
        self.flush()

    def _send_event(self, event: dict[str, Any], topic: str, form: str) -> None:
        if event["operationType"] == "invalidate":
            return
        options = json_util.CANONICAL_JSON_OPTIONS
        named = event.get("documentKey", event)  # the token, where the event is no document's
        key = json_util.dumps({"_id": named["_id"]}, json_options=options).encode()
        value = json_util.dumps(event, json_options=options).encode() if form == "change-events" else b"{}"
        self.send(topic, key, value)
