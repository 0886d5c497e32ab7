"""One process's membership in a consumer group.

A thread polls all the time, so that the group keeps the member while the index is waited for. What it is assigned it
has for a **term**: every change of the assignment ends the term, and the next one begins where the group has committed.
A term that ends in order is waited for, so that what it has done is committed before another member goes on from there.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from penstock.errors import LeaseLost, PositionLost, Stopped
from penstock.kafka.behind import Behind
from penstock.kafka.connection import Troubles, configuration, in_words, may_pass, unavailable
from penstock.kafka.positions import Committed, Partition, Place, Places, places_of
from penstock.kafka.records import Headers, Record
from penstock.kafka.waiting_records import WaitingRecords
from penstock.model import Position
from penstock.runtime.clock import passed_s
from penstock.runtime.threads import ChildEvent
from penstock.settings import LogSettings

log = structlog.get_logger(__name__)

_POLL_S = 0.2
_RECORDS_AT_ONCE = 2000
_REQUEST_S = 30.0
_FETCHED_KB = 32 * 1024
_WAKES_WITHIN_S = 1.0
_TERM_LOOK_S = 0.02
_OPEN_LOOK_S = 0.05
_TERM_MAY_END_S = 20.0
"""How long a member that is to give partitions back waits for what is in flight, far below the poll interval."""


@dataclass
class Term:
    """One assignment: the partitions that are this member's until `ending` is set.

    `committed` is where the group stands in each of them; `of_all` is how many partitions all the topics have, those of
    other members included. `topic_ids` are committed with the offsets, once they are known.

    `done` is to be set once nothing of the term is in flight any more, and what it did is committed. It is what
    `penstock.ports.Checkpoints` asks for: the positions are the group's offsets. `saved` is the last one.
    """

    member: "Member"
    committed: Mapping[Partition, Committed | None]
    of_all: int
    ending: ChildEvent
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)
    lost: bool = False
    is_taken: bool = False
    is_open: bool = False
    saved: Position | None = None
    waiting: WaitingRecords = field(default_factory=WaitingRecords)
    _wishes: "queue.Queue[tuple[Position, Future[None]]]" = field(default_factory=queue.Queue)
    _open_at: Places | None = None
    _opened: threading.Event = field(default_factory=threading.Event)

    def open_at(self, places: Places) -> None:
        """Give the records from these places on. Returns early when the term ends."""
        self._opened.clear()
        self._open_at = places
        while not self._opened.wait(_POLL_S) and not self.ending.is_set():
            pass

    def open_if_asked(self, seek: Callable[[Places], None]) -> bool:
        """For the thread that polls: seek what was asked for, and return whether something was."""
        if (places := self._open_at) is None:
            return False
        seek(places)
        self._open_at, self.waiting, self.is_open = None, WaitingRecords(), True
        self._opened.set()
        return True

    def load(self) -> None:
        """Return nothing: where the term begins is given to `open_at`."""

    def save(self, position: Position) -> None:
        """Have the polling thread commit, and wait. Raises LeaseLost when the partitions are another member's."""
        self.assert_held()
        wish: Future[None] = Future()
        self._wishes.put((position, wish))
        while not self.lost:
            with suppress(TimeoutError):
                wish.result(_POLL_S)
                self.saved = position
                return
        raise LeaseLost(f"Group {self.member.group}: its partitions are another member's.")

    def save_wished(self, commit: Callable[[Position, Mapping[str, str]], None]) -> None:
        """For the thread that polls: commit the newest position of those that wait, for all of them."""
        waiting = []
        with suppress(queue.Empty):
            while True:
                waiting.append(self._wishes.get_nowait())
        if not waiting:
            return
        try:
            commit(waiting[-1][0], self.topic_ids)
        except LeaseLost as lost:
            for _, wish in waiting:
                wish.set_exception(lost)
        else:
            for _, wish in waiting:
                wish.set_result(None)

    def assert_held(self) -> None:
        """Raise LeaseLost when another member may have the partitions."""
        self.member.assert_held(self)

    @property
    def is_connected(self) -> bool:
        """Whether the brokers are there, so that no records means that there are none yet."""
        return self.member.is_connected


class Member:
    """The membership; a context manager. Raises SettingsError."""

    def __init__(
        self, settings: LogSettings, group: str, topics: Sequence[str], *, stop: threading.Event, reads: bool = True
    ) -> None:
        """Without `reads` only the partitions count, and no record is read."""
        self.group = group
        self._reads = reads
        self._settings = settings
        self._topics = list(topics)
        self._stop = stop
        self._troubles = Troubles(settings)
        self._closing = ChildEvent(stop)
        self._terms: queue.Queue[Term | Exception] = queue.Queue()
        self._term: Term | None = None
        self._taking = threading.Lock()
        self._assigned: set[Partition] = set()
        self._is_paused = False
        self._is_changed = False
        self._is_connected = False
        self._behind = Behind()
        self._statistics: Mapping[str, Any] = {}
        self._share: Mapping[Partition, int | None] = {}
        self._polled_at = passed_s()
        self._consumer = Consumer(
            {
                **configuration(settings, self._troubles),
                "group.id": group,
                **_protocol(settings),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "queued.max.messages.kbytes": _FETCHED_KB,
                "allow.auto.create.topics": False,
                "statistics.interval.ms": 1000,
                "stats_cb": self._take_statistics,
                "topic.metadata.refresh.interval.ms": 30_000,
            }
        )
        self._thread = threading.Thread(target=self._run, name=f"kafka-{group}", daemon=True)

    def __enter__(self) -> "Member":
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()

    def next_term(self) -> Term:
        """Return the next term, once there is one. Raises Stopped, PositionLost, SourceUnavailable."""
        while not self._stop.is_set():
            try:
                found = self._terms.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(found, Exception):
                raise found
            with self._taking:
                if found.ending.is_set():
                    continue
                found.is_taken = True
            return found
        raise Stopped(f"group {self.group} was stopped")

    def _commit(self, position: Position, topic_ids: Mapping[str, str]) -> None:
        """Commit the position; what the places say beside their offsets is the metadata. Raises LeaseLost."""
        reached = {each: place for each, place in places_of(position.token).items() if place.offset >= 0}
        offsets = [
            TopicPartition(each.topic, each.number, place.offset, metadata=_committed(each, place, topic_ids, position))
            for each, place in reached.items()
        ]
        if not offsets:
            return
        try:
            answered = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise LeaseLost(f"Group {self.group}: the position was refused: {in_words(error.args[0])}.") from error
        refused = next((each.error for each in answered or () if each.error), None)
        if refused:
            raise LeaseLost(f"Group {self.group}: the position was refused: {in_words(refused)}.")
        self._behind.commits({each: place.offset for each, place in reached.items()})

    def assert_held(self, term: Term) -> None:
        """Raise LeaseLost when another member may have the partitions of the term."""
        silent_s = passed_s() - self._polled_at
        if term.lost or silent_s > self._settings.session_timeout_s:
            raise LeaseLost(f"Group {self.group}: its partitions may be another member's; this one goes on from there.")

    @property
    def is_connected(self) -> bool:
        """Whether every broker that has one of the partitions is connected, as the client last said."""
        return self._is_connected

    @property
    def share(self) -> Mapping[Partition, int | None]:
        """The partitions that are this member's; how many records each has to go, None where that is not known."""
        return self._share

    def _take_statistics(self, text: str) -> None:
        """See what the client says of its brokers and of the partitions (librdkafka, STATISTICS.md)."""
        said = orjson.loads(text)
        state = {broker["nodeid"]: broker["state"] for broker in said["brokers"].values()}
        topics = said.get("topics", {})
        leaders = {
            topics[each.topic]["partitions"][str(each.number)]["leader"]
            for each in self._assigned
            if str(each.number) in topics.get(each.topic, {}).get("partitions", {})
        }
        self._is_connected = bool(leaders) and all(state.get(leader) == "UP" for leader in leaders)
        self._statistics = said

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._poll()
                if self._is_changed:  # not while the client calls back: it commits nothing meanwhile
                    self._end_term(lost=False)
                self._begin_term()
        except KafkaException as error:
            self._terms.put(unavailable(error.args[0], self._settings, self._troubles.last))
        except Exception as error:  # noqa: BLE001 - raised by `next_term`
            self._terms.put(error)
        finally:
            self._end_term(lost=False)
            self._consumer.close()

    def _poll(self) -> None:
        if self._term:
            self._term.save_wished(self._commit)
            is_opened = self._open(self._term)
            self._hold_back(self._term)
            if is_opened and self._reads:
                self._wake(self._term)
        began = passed_s()
        first = self._consumer.poll(_OPEN_LOOK_S if self._is_to_open else _POLL_S)
        messages = [] if first is None else [first, *self._consumer.consume(_RECORDS_AT_ONCE - 1, 0)]
        self._polled_at = began
        records = [record_of(each) for each in messages if not self._is_error(each)]
        term = self._term
        if term and records:
            term.waiting.put(records)
            self._behind.delivers(records)
        if self._statistics:
            self._share = self._behind.of(self._statistics, sorted(self._assigned)) if term else {}
            self._statistics = {}

    def _hold_back(self, term: Term) -> None:
        """Pause while enough waits to be taken, and before it is known where the term begins."""
        is_full = term.waiting.are_enough or not (term.is_open and self._reads)
        if is_full != self._is_paused:
            partitions = [TopicPartition(*each) for each in term.committed]
            (self._consumer.pause if is_full else self._consumer.resume)(partitions)
            self._is_paused = is_full

    def _is_error(self, message: Message) -> bool:
        """Whether it is no record. Raises PositionLost, SourceUnavailable."""
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise PositionLost(
                f"Group {self.group}: the log no longer holds the records that come next"
                f" ({message.topic()}, partition {message.partition()}).",
                "Changes are lost. Give [log] group another name to read the topics from their start, then run"
                " `penstock load --again`; and make the retention of the topics longer than the index may be away.",
            )
        if error.fatal() or not may_pass(error):
            raise unavailable(error, self._settings, self._troubles.last)
        self._troubles(error)
        return True

    def _begin_term(self) -> None:
        if self._term and self._term.done.is_set():  # it has ended by itself
            self._end_term(lost=False)
        if self._term is not None or not self._assigned:
            return
        partitions = sorted(self._assigned)
        try:
            committed, of_all = self._committed(partitions), self._partitions_of_all()
            self._behind.begins({each: its.place.offset for each, its in committed.items() if its})
        except KafkaException as error:
            self._troubles(error.args[0])
            return  # the next poll comes before the next attempt
        self._consumer.pause([TopicPartition(*each) for each in partitions])
        self._is_paused = True
        self._share = dict.fromkeys(partitions)
        self._term = Term(self, committed, of_all, ChildEvent(self._closing))
        log.info("partitions assigned", group=self.group, partitions=len(partitions))
        self._terms.put(self._term)

    @property
    def _is_to_open(self) -> bool:
        return self._reads and self._term is not None and not self._term.is_open

    def _open(self, term: Term) -> bool:
        try:
            return term.open_if_asked(self._seek)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:  # not assigned yet; the next poll comes before the next try
                self._troubles(error.args[0])
            return False

    def _wake(self, term: Term) -> None:
        """Have the client read at once: its thread for a broker sleeps for up to a second, until a request wakes it."""
        ends = [TopicPartition(*each, OFFSET_END) for each in term.committed]
        with suppress(KafkaException):
            self._consumer.offsets_for_times(ends, timeout=_WAKES_WITHIN_S)

    def _seek(self, places: Places) -> None:
        for partition, place in places.items():
            self._consumer.seek(TopicPartition(*partition, place.offset))
        self._behind.opens({partition: place.offset for partition, place in places.items()})

    def _committed(self, partitions: Sequence[Partition]) -> dict[Partition, Committed | None]:
        """Return where the group stands; None where it has committed nothing. Raises KafkaException."""
        return committed_of(self._consumer, partitions)

    def _partitions_of_all(self) -> int:
        found = [self._consumer.list_topics(topic, timeout=_REQUEST_S).topics[topic] for topic in self._topics]
        return sum(len(each.partitions) for each in found)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._is_changed = self._is_changed or bool(partitions)  # none: the members have changed, their shares have not
        self._assigned |= {Partition(each.topic, each.partition) for each in partitions}
        starts = [TopicPartition(each.topic, each.partition, OFFSET_BEGINNING) for each in partitions]
        consumer.incremental_assign(starts)
        consumer.pause(starts)  # until the term begins, where the group has committed

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._end_term(lost=False)
        self._assigned -= {Partition(each.topic, each.partition) for each in partitions}
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.warning("partitions lost: the group has put this member out", group=self.group, partitions=len(partitions))
        self._end_term(lost=True)
        self._assigned -= {Partition(each.topic, each.partition) for each in partitions}
        consumer.incremental_unassign(partitions)

    def _end_term(self, *, lost: bool) -> None:
        """End the term, and wait until it has done and committed what it can, unless the partitions are lost."""
        term, self._term, self._is_changed = self._term, None, False
        if term is None:
            return
        with self._taking:
            term.lost = lost
            term.ending.set()
        until = time.monotonic() + _TERM_MAY_END_S
        while term.is_taken and not lost and not term.done.wait(_TERM_LOOK_S):
            term.save_wished(self._commit)
            if time.monotonic() > until:
                log.warning("partitions are given back before what is in flight was answered", group=self.group)
                break
        term.lost = True  # nothing is committed for it any more


def _protocol(settings: LogSettings) -> dict[str, Any]:
    """Return how members share; with the newer protocol (KIP-848) sessions are the brokers' matter."""
    if settings.group_protocol == "consumer":
        return {"group.protocol": "consumer"}
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": round(settings.session_timeout_s * 1000),
        "heartbeat.interval.ms": min(1000, round(settings.session_timeout_s * 1000 / 15)),
    }


def committed_of(consumer: Consumer, partitions: Sequence[Partition]) -> dict[Partition, Committed | None]:
    """Return what the consumer's group has committed; None where it has committed nothing. Raises KafkaException."""
    found = consumer.committed([TopicPartition(*each) for each in partitions], timeout=_REQUEST_S)
    for each in found:
        if each.error:
            raise KafkaException(each.error)
    return {
        Partition(each.topic, each.partition): (
            None if each.offset == OFFSET_INVALID else Committed.of(each.offset, each.metadata)
        )
        for each in found
    }


def _committed(partition: Partition, place: Place, topic_ids: Mapping[str, str], position: Position) -> str:
    known = place if place.version else place._replace(version=position.time)
    return Committed(known, topic_ids.get(partition.topic, "")).metadata


def record_of(message: Message) -> Record:
    """Return a message as a record."""
    kind, time_ms = message.timestamp()
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Record(
        topic,
        partition,
        offset,
        message.key(),
        message.value(),
        0 if kind == TIMESTAMP_NOT_AVAILABLE else time_ms,
        cast(Headers, message.headers() or ()),
    )
