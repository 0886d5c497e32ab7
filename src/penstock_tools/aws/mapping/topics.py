"""An event source mapping of a Kafka topic: reads it in a consumer group, and calls the function with its envelope.

Batches by number, window and 6 MB; one call at a time, which is repeated until it succeeds; offsets are committed after
it. Lambda has one poller for each partition, each with calls of its own. This one is not shown by Lambda's API.
"""

import base64
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import structlog
from confluent_kafka import TIMESTAMP_CREATE_TIME, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from penstock.errors import Stopped
from penstock.kafka.connection import in_words
from penstock.kafka.records import Headers
from penstock.runtime.backoff import Backoff
from penstock_tools.aws.mapping.batch import PAYLOAD_BYTES
from penstock_tools.aws.runtime.invocation import Invoke

log = structlog.get_logger(__name__)

_POLL_S = 0.1
_PARTITIONS = 4
_ANSWER_S = 30.0
_FIRST_WAIT_S, _MOST_WAIT_S = 0.05, 1.0


def record_json(message: Message) -> bytes:
    """Return a record as Lambda writes it: bytes as base64, those of headers as numbers, as Java counts them."""
    kind, time_ms = message.timestamp()
    found = cast(Headers, message.headers() or ())
    headers = [{name: [_signed(each) for each in value or b""]} for name, value in found]
    return orjson.dumps(
        {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "timestamp": time_ms,
            "timestampType": "CREATE_TIME" if kind == TIMESTAMP_CREATE_TIME else "LOG_APPEND_TIME",
            **{
                name: base64.b64encode(part).decode()
                for name, part in (("key", message.key()), ("value", message.value()))
                if part is not None
            },
            "headers": headers,
        }
    )


def envelope(servers: str, records: Iterable[tuple[Message, bytes]], *, arn: str = "") -> bytes:
    """Return the payload for records with their JSON; that of Amazon MSK with the ARN of a cluster."""
    by_partition: dict[str, list[bytes]] = {}
    for message, text in records:
        by_partition.setdefault(f"{message.topic()}-{message.partition()}", []).append(text)
    whose: dict[str, Any] = {"eventSource": "aws:kafka", "eventSourceArn": arn} if arn else {}
    head = orjson.dumps({**(whose or {"eventSource": "SelfManagedKafka"}), "bootstrapServers": servers})
    lists = (orjson.dumps(name) + b":[" + b",".join(its) + b"]" for name, its in by_partition.items())
    return head[:-1] + b',"records":{' + b",".join(lists) + b"}}"


@dataclass
class TopicMapping:
    """The mapping of one topic; `run` reads until `stop` is set."""

    servers: str
    topic: str
    function: str
    invoke: Invoke
    batch_size: int = 100
    window_s: float = 0.5
    stop: threading.Event = field(default_factory=threading.Event)
    errors: int = 0

    @property
    def group(self) -> str:
        """Its consumer group, as the stack names it."""
        return f"{self.function}.{self.topic}"

    def run(self) -> None:
        """Deliver what the topic holds, and what comes."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": self.group,
                "auto.offset.reset": "earliest",  # TRIM_HORIZON
                "enable.auto.commit": False,
                "log_level": 2,
            }
        )
        with closing(consumer), suppress(Stopped):
            consumer.subscribe([self.topic])
            waiting: list[tuple[Message, bytes]] = []
            while not self.stop.is_set():
                waiting += self._collected(consumer, self.batch_size - len(waiting))
                taken = _fitting(self.servers, waiting)
                waiting = waiting[len(taken) :]
                if taken:
                    self._deliver(envelope(self.servers, taken))
                    _commit(consumer, [message for message, _ in taken])

    def _collected(self, consumer: Consumer, most: int) -> Iterator[tuple[Message, bytes]]:
        """Yield the next records, until they are enough or the window of the first one ends."""
        until: float | None = None
        while most and not self.stop.is_set() and (until is None or time.monotonic() < until):
            for message in consumer.consume(most, _POLL_S):
                if error := message.error():
                    log.warning("kafka", topic=self.topic, problem=in_words(error))
                    continue
                until = until or time.monotonic() + self.window_s
                most -= 1
                yield message, record_json(message)

    def _deliver(self, payload: bytes) -> None:
        """Call the function until it succeeds. Raises Stopped when the mapping ends before."""
        backoff = Backoff(self.stop, _FIRST_WAIT_S, _MOST_WAIT_S)
        while self.invoke(self.function, payload).function_error is not None:
            self.errors += 1
            backoff.wait()


@contextmanager
def topic_mapping(mapping: TopicMapping) -> Iterator[TopicMapping]:
    """Run the mapping in a thread, until the block ends."""
    thread = threading.Thread(target=mapping.run, name=f"mapping-{mapping.topic}", daemon=True)
    thread.start()
    try:
        yield mapping
    finally:
        mapping.stop.set()
        thread.join()


@contextmanager
def topic_mappings(
    servers: str, topics: Iterable[str], function: str, invoke: Invoke, *, batch_size: int, window_s: float
) -> Iterator[None]:
    """Make the topics, and run a mapping of each until the block ends. Raises KafkaException."""
    admin = AdminClient({"bootstrap.servers": servers})
    for made in admin.create_topics([NewTopic(each, _PARTITIONS, 1) for each in topics]).values():
        made.result(_ANSWER_S)
    with ExitStack() as stack:
        for each in topics:
            stack.enter_context(topic_mapping(TopicMapping(servers, each, function, invoke, batch_size, window_s)))
        yield


def _fitting(servers: str, records: Sequence[tuple[Message, bytes]]) -> list[tuple[Message, bytes]]:
    """Return the first records that fit into a call."""
    size, taken = len(envelope(servers, [])), list[tuple[Message, bytes]]()
    for message, text in records:
        size += len(text) + len(message.topic() or "") + 16  # the name of its partition, and signs
        if taken and size > PAYLOAD_BYTES:
            break
        taken.append((message, text))
    return taken


def _commit(consumer: Consumer, messages: Sequence[Message]) -> None:
    """Commit what comes after the messages. A member that has got the partitions meanwhile delivers them again."""
    ends = {(each.topic(), each.partition()): (each.offset() or 0) + 1 for each in messages}
    offsets = [TopicPartition(str(topic), partition or 0, offset) for (topic, partition), offset in ends.items()]
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        log.warning("kafka", problem=in_words(error.args[0]))


def _signed(value: int) -> int:
    return value - 256 if value > 127 else value
