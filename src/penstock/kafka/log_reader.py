"""Reads the newest mark of a log."""

import threading
import time
from collections.abc import Sequence
from contextlib import closing

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from penstock.errors import ReadAgain, SourceUnavailable, Stopped
from penstock.kafka.connection import Troubles, configuration, ended_by, in_words
from penstock.kafka.log import Mark
from penstock.kafka.positions import Partition
from penstock.settings import LogSettings

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
_FIRST_LOOK = 50
"""So many offsets from the end are read first; each transaction takes two."""


def newest_mark(settings: LogSettings, topic: str, stop: threading.Event) -> Mark | None:
    """Return the last mark that was committed, None in an empty topic. Raises ReadAgain, SourceUnavailable, Stopped."""
    troubles = Troubles(settings)
    config = {
        **configuration(settings, troubles),
        "group.id": f"{topic}.newest",  # the client wants one; nothing is committed
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    }
    with closing(Consumer(config)) as consumer:
        try:
            lowest, highest = _offsets(consumer, Partition(topic, 0), stop)
            back = _FIRST_LOOK
            while True:
                start = max(lowest, highest - back)
                found = _last_from(consumer, topic, start, stop)
                if found is not None or start == lowest:
                    return found
                back *= 10
        except KafkaException as error:
            raise ended_by(error.args[0], settings, troubles.last) from error


def records_in(settings: LogSettings, partitions: Sequence[Partition], stop: threading.Event) -> bool:
    """Whether any of the partitions has ever held a record. Raises ReadAgain, SourceUnavailable, Stopped."""
    troubles = Troubles(settings)
    with closing(Consumer({**configuration(settings, troubles), "group.id": "penstock.none"})) as consumer:
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
            last = _decoded(topic, message.offset(), message.value()) or last
        elif error.code() == KafkaError._PARTITION_EOF:
            return last
        elif error.fatal() or not (error.retriable() or error.code() in _PASSING):
            raise SourceUnavailable(f"The marks in {topic} cannot be read: {in_words(error)}.", "Look at the brokers.")
    raise Stopped("stopped while reading the newest mark")


def _decoded(topic: str, offset: int | None, value: bytes | None) -> Mark | None:
    if value is None:
        return None
    try:
        return Mark.decoded(value)
    except (ValueError, KeyError) as error:
        raise SourceUnavailable(
            f"The record at offset {offset} of {topic} is no mark of this version of penstock ({error!r}).",
            "Use the version of penstock that wrote it, or another [log] prefix.",
        ) from error
