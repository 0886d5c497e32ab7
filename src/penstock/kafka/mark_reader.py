"""Reads the marks of the cursor on a database, without taking part in a group."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from penstock.errors import PositionLost
from penstock.kafka.connection import Troubles, configuration, unavailable
from penstock.kafka.log import Mark
from penstock.settings import LogSettings

_REQUEST_S = 10.0
_AT_ONCE = 1000
_FIRST_LOOK = 64
_FURTHER = 16
_NOT_ALLOWED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)


class ReadMark(NamedTuple):
    """A mark, and the offset after it."""

    mark: Mark
    next_offset: int


class MarkReader:
    """For one thread. `group` is named because Kafka asks for a name, and its offsets can be asked for."""

    def __init__(self, settings: LogSettings, topic: str, group: str) -> None:
        self.topic = topic
        self._settings = settings
        self._troubles = Troubles(settings)
        self.consumer = Consumer(
            {
                **configuration(settings, self._troubles),
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
            }
        )

    @classmethod
    @contextmanager
    def opened(cls, settings: LogSettings, topic: str, group: str) -> Iterator[Self]:
        """Close it in the end."""
        reader = cls(settings, topic, group)
        try:
            yield reader
        finally:
            reader.consumer.close()

    def all(self) -> list[ReadMark]:
        """Return all marks that are there now, none where they cannot be had at present. Raises SourceUnavailable."""
        low, high = self._bounds()
        if low == high:
            return []
        self.go_to(low)
        return self._until(high)

    def _bounds(self) -> tuple[int, int]:
        try:
            return self.consumer.get_watermark_offsets(TopicPartition(self.topic, 0), timeout=_REQUEST_S)
        except KafkaException as error:
            self.note(error.args[0])
            return 0, 0

    def newest(self) -> ReadMark | None:
        """Return the newest mark, None while there is none; `read` goes on after it. Raises SourceUnavailable."""
        low, high = self._bounds()
        look, found, start = _FIRST_LOOK, list[ReadMark](), high
        while not found and start > low:
            start = max(low, high - look)
            self.go_to(start)
            found = self._until(high)
            look *= _FURTHER
        return found[-1] if found else None

    def go_to(self, offset: int) -> None:
        """Let `read` go on from an offset."""
        self.consumer.assign([TopicPartition(self.topic, 0, offset)])

    def read(self, timeout_s: float) -> list[ReadMark]:
        """Return the next marks, none when there are none within the time. Raises PositionLost, SourceUnavailable."""
        first = self.consumer.poll(timeout_s)
        messages = [] if first is None else [first, *self.consumer.consume(_AT_ONCE, 0)]
        return [found for each in messages if (found := self._mark(each))]

    def note(self, error: KafkaError) -> None:
        """Note an error that may pass by itself. Raises SourceUnavailable for another one."""
        if error.code() in _NOT_ALLOWED:
            raise unavailable(error, self._settings, self._troubles.last)
        self._troubles(error)

    def _until(self, end: int) -> list[ReadMark]:
        """Read up to an offset; the topic may end before it, with the mark of a transaction."""
        found: list[ReadMark] = []
        while (message := self.consumer.poll(_REQUEST_S)) is not None:
            error = message.error()
            if error and error.code() == KafkaError._PARTITION_EOF:
                break
            if mark := self._mark(message):
                found.append(mark)
                if mark.next_offset >= end - 1:
                    break
        return found

    def _mark(self, message: Message) -> ReadMark | None:
        error = message.error()
        if error is None:
            value, offset = message.value(), message.offset()
            assert value is not None
            assert offset is not None
            return ReadMark(Mark.decoded(value), offset + 1)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise PositionLost(
                f"The topic {self.topic} no longer holds the marks that come next: drops and renames may be among them."
            )
        if error.code() != KafkaError._PARTITION_EOF:
            self.note(error)
        return None
