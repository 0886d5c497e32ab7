"""The cursor of the keeper of an index that penstock's own topics feed: the marks that its group has passed.

A mark is passed once the group has committed every change up to it, in all partitions of the collection. Its control
change comes then: nothing that is older can still reach the index. What is newer may have reached it, and stays, for it
has higher versions. So a drop waits for the changes before it, and nobody waits for the drop.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Event

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from penstock.errors import PositionLost
from penstock.kafka.connection import looking
from penstock.kafka.log import End, Mark, NoHeaders, numbered, topic_of
from penstock.kafka.mark_reader import MarkReader, ReadMark
from penstock.kafka.member import committed_of
from penstock.kafka.passed_mark import PassedMark
from penstock.kafka.positions import Partition, Place
from penstock.kafka.topic_facts import TopicFacts
from penstock.model import Batch, Change, Names, Namespace, Position, SourceTransform
from penstock.pipeline.transform import apply_transform
from penstock.runtime.backoff import Backoff
from penstock.runtime.threads import ChildEvent
from penstock.settings import LogSettings

log = structlog.get_logger(__name__)

_MOST_PENDING = 10_000
_LOOK_S = 0.1
_RECORD_S = 10.0
_TODO = (
    "Changes are lost. The collection is loaded again where [pipeline] on_position_lost says so; make [log]"
    " topic_retention_s longer than the index may be away."
)


@dataclass
class ControlStream:
    """Implements `penstock.ports.Source`; its batches hold control changes alone."""

    settings: LogSettings
    marks_topic: str
    group: str
    names: Names
    stop: Event
    look_s: float
    """Between two looks at what the group has committed."""

    loss_look_s: float
    """Between two looks at what the topic still holds."""

    _closed: ChildEvent = field(init=False)

    def __post_init__(self) -> None:
        self._closed = ChildEvent(self.stop)
        self.topic = topic_of(self.settings.prefix, self.names.declared)

    def position_now(self) -> Position:
        """Return the newest mark that knows of the topic; wait until there is one. Raises Stopped."""
        pause, said = Backoff(self._closed, most_s=1.0), False
        with MarkReader.opened(self.settings, self.marks_topic, self.group) as reader:
            while True:
                found = reader.newest()
                if found and self.topic in found.mark.topics:
                    return self._passed(found, self._marks_id()).position
                if not said:
                    log.warning("waiting for a mark of `penstock capture`", topic=self.topic, marks=self.marks_topic)
                    said = True
                pause.wait()

    def mark_at(self, version: int) -> PassedMark:
        """Return the last mark that is not newer than a version, or the oldest one. Raises SourceUnavailable, Stopped.

        The records of marks bear the broker's or the producer's time, so all that are kept are looked at.
        """
        pause = Backoff(self._closed, most_s=1.0)
        with MarkReader.opened(self.settings, self.marks_topic, self.group) as reader:
            while True:
                best: ReadMark | None = None
                for found in reader.all():
                    if self.topic in found.mark.topics and (best is None or found.mark.position.time <= version):
                        best = found
                if best:
                    return self._passed(best, self._marks_id())
                pause.wait()

    def batches(self, after: Position | None, transform: SourceTransform) -> Iterator[Batch]:
        """Yield the control changes of passed marks, and an empty batch at each look. Raises PositionLost.

        Renames from before the position come first, where nobody has followed them yet.
        """
        passed = self._begin(after or self.position_now())
        if self._marks_id() != passed.marks_id:
            raise PositionLost(f"The topic {self.marks_topic} was deleted and made again.", _TODO)
        for rename in self._renames(passed.mark):
            yield Batch(apply_transform([rename], transform), passed.position, time.monotonic())
        pending: deque[ReadMark] = deque()
        with MarkReader.opened(self.settings, self.marks_topic, self.group) as reader:
            reader.go_to(passed.next_offset)
            group = _GroupLook(self.settings, self.topic, reader, self.stop)
            looked_at = lost_look_at = 0.0
            while not self._closed.is_set():
                if len(pending) < _MOST_PENDING:
                    pending += reader.read(_LOOK_S)
                else:
                    self._closed.wait(_LOOK_S)
                if time.monotonic() - looked_at < self.look_s:
                    continue
                began = looked_at = time.monotonic()
                if not group.look(passed):
                    continue
                if looked_at - lost_look_at > self.loss_look_s:
                    lost_look_at = looked_at
                    group.require_nothing_lost(pending[-1].mark if pending else passed.mark)
                changes: list[Change] = []
                while pending and not changes and group.is_past(pending[0].mark):
                    mark = pending.popleft()
                    changes = self._control(mark.mark)
                    passed = self._passed(mark, passed.marks_id)
                looked_at = 0.0 if changes else looked_at
                yield Batch(apply_transform(changes, transform), passed.position, began)

    def close(self) -> None:
        """End `batches`."""
        self._closed.set()

    def _begin(self, after: Position) -> PassedMark:
        """Return the mark of a position; of one that `penstock run` has saved, the last mark that is not newer."""
        if passed := PassedMark.of(after.token):
            return passed
        passed = self.mark_at(after.time)
        if passed.mark.position.time > after.time:
            raise PositionLost(
                f"The position of {self.names.declared} was saved by `penstock run`, before `penstock capture` began.",
                "Changes in between are not in the log. The collection is loaded again where [pipeline]"
                " on_position_lost says so; next time, start `penstock capture` before you stop `penstock run`.",
            )
        log.info("going on from the position of `penstock run`", topic=self.topic, time=after.time)
        return passed

    def _control(self, mark: Mark) -> list[Change]:
        """Return the control change of a mark. Raises PositionLost for one by which capture says that it lost some."""
        change = mark.control
        if change is None:
            return []
        if change.kind == "invalidate":
            name = self.names.declared
            if change.namespace in (name, self.names.present, Namespace(name.db, "")):
                raise PositionLost(f"`penstock capture` has lost its position in the change log of {name}.")
            return []
        return [change]

    def _renames(self, mark: Mark) -> list[Change]:
        """Return the renames that capture has followed and that the record of the collection does not know."""
        declared, later = self.names.declared, mark.names.get(self.names.declared, ())
        names = Names(declared, later)
        return [
            Change(names.at(since), "rename", since, to=Namespace(declared.db, coll))
            for coll, since in later
            if since > self.names.since
        ]

    def _passed(self, found: ReadMark, marks_id: str) -> PassedMark:
        """Keep of the mark what is about this collection."""
        ends = {partition: end for partition, end in found.mark.ends.items() if partition.topic == self.topic}
        topics = {self.topic: found.mark.topics.get(self.topic, "")}
        names = {each: later for each, later in found.mark.names.items() if each == self.names.declared}
        mark = Mark(found.mark.position, ends, topics, names=names)
        return PassedMark(mark, found.next_offset, marks_id)

    def _marks_id(self) -> str:
        return TopicFacts(self.settings, self._closed).ids([self.marks_topic])[self.marks_topic]


@dataclass
class _GroupLook:
    """How far the group is in each partition of the topic, as last seen."""

    settings: LogSettings
    topic: str
    reader: MarkReader
    stop: Event
    topic_id: str = ""
    places: Mapping[Partition, Place] = field(default_factory=dict)

    def look(self, passed: PassedMark) -> bool:
        """Ask what is committed; return whether it was answered."""
        partitions = sorted(passed.mark.ends)
        try:
            committed = committed_of(self.reader.consumer, partitions)
        except KafkaException as error:
            self.reader.note(error.args[0])
            return False
        self.topic_id = passed.mark.topics[self.topic]
        self.places = {
            each: begin_at(
                passed, each, its.place if (its := committed[each]) and its.topic_id == self.topic_id else None
            )
            for each in partitions
        }
        return True

    def is_past(self, mark: Mark) -> bool:
        """Whether every change before a mark was applied. Raises PositionLost when its topic is another one."""
        self._require_same(mark)
        ends = {partition: end for partition, end in mark.ends.items() if partition.topic == self.topic}
        return all(
            partition in self.places and self.places[partition].number >= end.number for partition, end in ends.items()
        )

    def require_nothing_lost(self, newest: Mark) -> None:
        """Raise PositionLost when the topic no longer holds a change that the group has still to apply.

        An offset that is gone tells nothing: the marks of transactions have offsets too. The numbers do.
        """
        self._require_same(newest)
        first = TopicFacts(self.settings, self.stop).first_offsets(self.places)
        for partition, place in self.places.items():
            end = newest.ends.get(partition, End(0, 0))
            if end.number <= place.number:
                continue
            number = None
            if first[partition] >= end.offset:  # none of them is there, and a quiet partition has no later one either
                number = end.number + 1
            elif first[partition] > place.offset >= 0:
                number = self._first_number(partition, first[partition])
            if number is not None and number > place.number + 1:
                raise PositionLost(
                    f"The topic {self.topic}, partition {partition.number}, no longer holds the changes"
                    f" {place.number + 1} to {number - 1}, which were not applied yet.",
                    _TODO,
                )

    def _require_same(self, mark: Mark) -> None:
        if mark.topics.get(self.topic, self.topic_id) != self.topic_id:
            raise PositionLost(f"The topic {self.topic} was deleted and made again.", _TODO)

    def _first_number(self, partition: Partition, offset: int) -> int | None:
        """Return the number of the first record from an offset on, None when there is none yet."""
        consumer = Consumer({**looking(self.settings, self.reader.note, "penstock"), "auto.offset.reset": "earliest"})
        try:
            consumer.assign([TopicPartition(*partition, offset)])
            until = time.monotonic() + _RECORD_S
            while time.monotonic() < until and not self.stop.is_set():
                message = consumer.poll(_LOOK_S)
                if message is None:
                    continue
                if message.error():
                    if message.error().code() != KafkaError._PARTITION_EOF:  # type: ignore[union-attr]
                        self.reader.note(message.error())  # type: ignore[arg-type]
                    continue
                try:
                    return numbered(message.headers()).number  # type: ignore[arg-type]
                except NoHeaders:
                    continue
            return None
        finally:
            consumer.close()


def begin_at(passed: PassedMark, partition: Partition, committed: Place | None) -> Place:
    """Return where a partition goes on: where the group is, but not before the keeper's position.

    That is past it once a lost position was healed: the load that began after it holds what came before.
    """
    kept = passed.place(partition)
    return committed if committed and committed.number >= kept.number else kept
