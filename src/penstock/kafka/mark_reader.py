"""Reads the marks of the cursor on a database, without taking part in a group.

MarkReader     for those who may wait: what cannot be had at present is not there yet
newest_mark    for capture, which takes a new position where there is none: so that must be certain
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from penstock.errors import PositionLost, ReadAgain, SourceUnavailable, Stopped
from penstock.kafka.connection import Troubles, ended_by, in_words, looking, may_pass, unavailable
from penstock.kafka.log import Mark
from penstock.kafka.positions import Partition
from penstock.settings import LogSettings

_REQUEST_S = 10.0
_AT_ONCE = 1000
_FIRST_LOOK = 64
"""How many offsets from the end are read first; each transaction takes two."""
_FURTHER = 16
_ANSWER_S = 30.0
_POLL_S = 0.5
_PASSING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
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
        self.consumer = Consumer(looking(settings, self._troubles, group))

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
        if not may_pass(error):
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
            return _decoded(self.topic, message)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise PositionLost(
                f"The topic {self.topic} no longer holds the marks that come next: drops and renames may be among them."
            )
        if error.code() != KafkaError._PARTITION_EOF:
            self.note(error)
        return None


def newest_mark(settings: LogSettings, topic: str, stop: threading.Event) -> Mark | None:
    """Return the last mark that was committed, None in an empty topic. Raises ReadAgain, SourceUnavailable, Stopped."""
    troubles = Troubles(settings)
    config = looking(settings, troubles, f"{topic}.newest")
    with closing(Consumer({**config, "auto.offset.reset": "earliest"})) as consumer:
        try:
            lowest, highest = _offsets(consumer, Partition(topic, 0), stop)
            back = _FIRST_LOOK
            while True:
                start = max(lowest, highest - back)
                found = _last_from(consumer, topic, start, stop)
                if found is not None or start == lowest:
                    return found
                back *= _FURTHER
        except KafkaException as error:
            raise ended_by(error.args[0], settings, troubles.last) from error


def records_in(settings: LogSettings, partitions: Sequence[Partition], stop: threading.Event) -> bool:
    """Whether any of the partitions has ever held a record. Raises ReadAgain, SourceUnavailable, Stopped."""
    troubles = Troubles(settings)
    with closing(Consumer(looking(settings, troubles, "penstock.none"))) as consumer:
        try:
            return any(_offsets(consumer, each, stop)[1] > 0 for each in partitions)
        except KafkaException as error:
            raise ended_by(error.args[0], settings, troubles.last) from error


def _offsets(consumer: Consumer, partition: Partition, stop: threading.Event) -> tuple[int, int]:
    """Return the lowest offset and the end. A partition that was just made has no leader at first."""
    until = time.monotonic() + _ANSWER_S
    while True:
        try:
            lowest, end = consumer.get_watermark_offsets(TopicPartition(*partition), timeout=_ANSWER_S)
        except KafkaException as error:
            if (not error.args[0].retriable() and error.args[0].code() not in _PASSING) or time.monotonic() > until:
                raise
            if stop.wait(_POLL_S):
                raise Stopped("stopped while the log was looked at") from error
        else:
            return lowest, end


def _last_from(consumer: Consumer, topic: str, start: int, stop: threading.Event) -> Mark | None:
    consumer.assign([TopicPartition(topic, 0, start)])
    last: Mark | None = None
    answered_at = time.monotonic()
    while not stop.is_set():
        message = consumer.poll(_POLL_S)
        if message is None:
            if time.monotonic() - answered_at > _ANSWER_S:
                raise ReadAgain(f"The marks in {topic} cannot be read to their end at present.")
            continue
        answered_at = time.monotonic()
        error = message.error()
        if error is None:
            found = _decoded(topic, message)
            last = found.mark if found else last
        elif error.code() == KafkaError._PARTITION_EOF:
            return last
        elif error.fatal() or not (error.retriable() or error.code() in _PASSING):
            raise SourceUnavailable(f"The marks in {topic} cannot be read: {in_words(error)}.", "Look at the brokers.")
    raise Stopped("stopped while reading the newest mark")


def _decoded(topic: str, message: Message) -> ReadMark | None:
    """Return the mark that a record is, None for one without a value. Raises SourceUnavailable for anything else."""
    value, offset = message.value(), message.offset()
    assert offset is not None
    if value is None:
        return None
    try:
        return ReadMark(Mark.decoded(value), offset + 1)
    except (ValueError, KeyError) as error:
        raise SourceUnavailable(
            f"The record at offset {offset} of {topic} is no mark of this version of penstock ({error!r}).",
            "Use the version of penstock that wrote it, or another [log] prefix.",
        ) from error
