"""Writes the log: changes and marks in transactions, as one of many that may want to, of which the newest may.

A transaction is what becomes visible together: changes, and the mark behind them. Beginning a writer ends what its
predecessor of the same name has left open, and puts it out for good: whatever that one still has in its queue, or
wants to commit, is refused by the brokers.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from penstock.errors import LeaseLost, ReadAgain, Stopped, SystemicFault
from penstock.kafka.connection import Troubles, configuration, in_words, may_pass, unavailable
from penstock.kafka.log import End, LogKind, Mark, Numbered, headers_of
from penstock.kafka.own_topics import BATCH_BYTES, Topic
from penstock.kafka.partitioner import partitions_of
from penstock.kafka.positions import Partition
from penstock.model import TransformedChange, seconds_of
from penstock.settings import LogSettings

log = structlog.get_logger(__name__)

_SILENT = logging.Logger("librdkafka", logging.CRITICAL + 1)
"""Whatever the client would log comes as an error too."""
_TRANSACTION_MS: Final = 30_000
"""After this time the brokers end the transaction of a writer that is gone; a successor ends it at once."""
_ANSWER_S = 2.0
_SAID_AFTER_S = 10.0
"""A request that takes longer is a trouble, and is reported."""
_LAST_ANSWER_S = 5.0
"""How long a request may take once the process is to stop."""
_QUEUED_KB = 64 * 1024
_REST_S: Final = 0.005
"""The brokers complete a transaction after they have answered that it is committed. The client puts off who begins the
next one meanwhile for 20 ms, so a shorter rest is a gain."""
_ROOM_S = 0.05
"""How long to wait for room in the client's queue before looking again."""
_LARGEST_BYTES: Final = 64 * 1024 * 1024
"""The client's own limit, above any document; that of each topic is looked at before a record is sent."""
_AROUND_A_RECORD: Final = 512
"""More than a batch of one record has besides the key and the value."""
_KINDS: Final[Mapping[str, LogKind]] = {"upsert": "upsert", "delete": "delete", "unresolved": "unresolved"}
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})


class _Written:
    """A topic that is written: its partitions' last numbers, and the last record of each, which is held back."""

    def __init__(self, topic: Topic, ends: Mapping[Partition, End]) -> None:
        self.name = topic.name
        self.partitions = topic.partitions
        self.most = topic.max_bytes - _AROUND_A_RECORD
        self.numbers = [ends[Partition(topic.name, each)].number for each in range(topic.partitions)]
        self.held: dict[int, tuple[Any, ...]] = {}


class LogWriter:
    """One term's producer. Used by one thread; after an error it is of no use any more."""

    def __init__(self, settings: LogSettings, name: str, marks: str, *, stop: threading.Event) -> None:
        """`name` is what a successor must have too; `marks` is the topic of the marks."""
        self.name = name
        self._settings = settings
        self._marks = marks
        self._stop = stop
        self._troubles = Troubles(settings)
        self._producer = Producer(
            {
                **configuration(settings, self._troubles),
                "transactional.id": name,
                "transaction.timeout.ms": _TRANSACTION_MS,
                "acks": "all",
                "linger.ms": 5,
                "message.max.bytes": _LARGEST_BYTES,
                "batch.size": BATCH_BYTES,
                "queue.buffering.max.kbytes": _QUEUED_KB,
                "logger": _SILENT,
                "allow.auto.create.topics": False,
            }
        )
        self._topics: dict[str, _Written] = {}
        self._ends: dict[Partition, End] = {}
        self._is_open = False
        self._committed_at = 0.0
        self._failed: KafkaError | None = None
        self.records = 0
        """How many changes the open transaction holds."""
        self.kinds: Counter[LogKind] = Counter()

    def begin(self) -> None:
        """Put the predecessor out. What it had committed before can be read from now on, and nothing more will come.

        Raises Stopped, SourceUnavailable.
        """
        self._until_answered(lambda: self._producer.init_transactions(_ANSWER_S))

    def go_on(self, topics: Sequence[Topic], ends: Mapping[Partition, End]) -> None:
        """Write these topics from now on, each behind its ends."""
        self._topics = {each.name: _Written(each, ends) for each in topics}
        self._ends = dict(ends)

    def add(self, topic: str, changes: Sequence[TransformedChange]) -> None:
        """Add changes of one collection, in their order, to the transaction. Raises ReadAgain, LeaseLost, Stopped."""
        self._open()
        its = self._topics[topic]
        numbers, held, most, kinds = its.numbers, its.held, its.most, self.kinds
        chosen = partitions_of([change.id for change in changes], its.partitions)
        for change, partition in zip(changes, chosen, strict=True):
            key, value, kind = change.id, change.body, _KINDS[change.kind]
            if value is not None and len(key) + len(value) > most:  # type: ignore[arg-type]  # bytes, never an error
                kind, value = "unresolved", None
            numbers[partition] = number = numbers[partition] + 1
            kinds[kind] += 1
            before = held.get(partition)
            if before is not None:
                self._produce(before)
            version = change.version
            headers = headers_of(Numbered(kind, version, number))
            time_ms = (version >> 32) * 1000
            held[partition] = (topic, value, key, partition, None, None, time_ms, headers)
        self.records += len(changes)

    def commit(self, marks: Sequence[Mark]) -> list[Mark]:
        """Commit what was added, with the marks behind it, and return these as they were written: with the ends.

        Raises ReadAgain, LeaseLost, Stopped, SourceUnavailable, SystemicFault.
        """
        self._open()
        before = self._numbered()
        self._send_held()
        if self._numbered() - before != self.records:
            raise SystemicFault(
                f"{self.name}: {self.records} changes were to be written, but the partitions' numbers rose by"
                f" {self._numbered() - before}; stopped before the commit. Please report this with the log."
            )
        written = [replace(each, ends=dict(self._ends)) for each in marks]
        for each in written:
            time_ms = seconds_of(each.position.time) * 1000
            self._produce((self._marks, each.encoded(), each.key, 0, None, None, time_ms, []))
        self._until_answered(lambda: self._producer.commit_transaction(_ANSWER_S))
        self._is_open, self._committed_at = False, time.monotonic()
        self.records = 0
        self.kinds.clear()
        return written

    def close(self) -> None:
        """End what is open, if the brokers answer soon: else they end it by themselves, or a successor does."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._producer.purge()
            self._producer.abort_transaction(_LAST_ANSWER_S)
        except (KafkaException, SystemError) as error:
            log.info("the transaction is left to the brokers to end", log=self.name, reason=str(error))

    def _numbered(self) -> int:
        return sum(end.number for end in self._ends.values())

    def _open(self) -> None:
        if not self._is_open:
            self._stop.wait(max(0.0, self._committed_at + _REST_S - time.monotonic()))
            with self._translated():
                self._producer.begin_transaction()
            self._is_open = True

    def _produce(self, record: tuple[Any, ...]) -> None:
        while True:
            try:
                return self._producer.produce(*record)
            except BufferError:
                with self._translated():
                    self._producer.poll(_ROOM_S)
                self._require_patience()
            except KafkaException as error:
                raise self._ended(error.args[0]) from error

    def _send_held(self) -> None:
        """Send the last record of each partition, and wait until all are in the log: the offsets are known then."""
        for its in self._topics.values():
            for partition, record in its.held.items():
                self._produce((*record[:4], self._delivered(Partition(its.name, partition), its), *record[5:]))
            its.held.clear()
        with self._translated():
            while self._producer.flush(_ANSWER_S):
                self._require_patience()
        if self._failed:
            raise self._ended(self._failed)

    def _delivered(self, partition: Partition, its: _Written) -> Callable[[KafkaError | None, Message], None]:
        def note(error: KafkaError | None, message: Message) -> None:
            if error:
                self._failed = error
                return
            offset = message.offset()
            assert offset is not None
            self._ends[partition] = End(its.numbers[partition.number], offset + 1)

        return note

    def _until_answered(self, request: Callable[[], None]) -> None:
        began = time.monotonic()
        while True:
            with self._translated():
                try:
                    return request()
                except KafkaException as error:
                    if not error.args[0].retriable():
                        raise
                    if time.monotonic() - began > _SAID_AFTER_S:
                        self._troubles(error.args[0])
            self._require_patience()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise self._ended(error.args[0]) from error
        except SystemError as error:  # the client has a fatal error, which its binding has lost among its callbacks
            raise LeaseLost(f"{self.name}: another capture has taken over, or the client has failed.") from error

    def _require_patience(self) -> None:
        if self._stop.is_set():
            raise Stopped("stopped while waiting for the log")

    def _ended(self, error: KafkaError) -> Exception:
        """Return what ends the term: somebody else has its place, or it begins again from the newest mark."""
        if error.code() in _FENCED:
            return LeaseLost(f"{self.name}: another capture has taken over ({in_words(error)}).")
        if not may_pass(error):
            return unavailable(error, self._settings, self._troubles.last)
        return ReadAgain(f"{self.name}: the transaction has failed: {in_words(error)}.")
