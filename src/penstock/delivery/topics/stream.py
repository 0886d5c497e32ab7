"""The records of one term as a source: read, understood, looked up where they carry no state, and transformed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from penstock.kafka.member import Term
from penstock.kafka.positions import Partition, Place, Places, places_of, token_of
from penstock.kafka.records import Record
from penstock.model import Batch, Change, Position, SourceTransform
from penstock.pipeline.transform import apply_transform
from penstock.runtime.threads import ChildEvent

_IDLE_S = 1.0
_LOOK_S = 0.1
_FIRST = Place(0)


class Reader(Protocol):
    """What the records of one collection say. Used by one thread; another one is made each time they are read again."""

    def after(self, record: Record, before: Place) -> Place:
        """Return the place after a record, given the one before it."""

    def is_one_time(self, before: Record, after: Record) -> bool:
        """Whether two records that follow each other in a partition are of one cluster time, as far as they say it."""

    def changes(self, records: Sequence[Record]) -> list[Change]:
        """Return the changes, none of them `unresolved`. Raises SourceUnavailable, Stopped."""

    def position(self, places: Places, changes: Sequence[Change], records: Sequence[Record]) -> Position:
        """Return the position after these records, the last ones read."""


@dataclass
class TopicStream:
    """Implements `penstock.ports.Source`. After a fault another one is opened, where this one was completed.

    `skipped`: see `penstock.delivery.topics.own.Starts`.
    """

    term: Term
    start: Places
    reader: Reader
    skipped: Mapping[Partition, int] = field(default_factory=dict)
    _closed: ChildEvent = field(init=False)
    _ahead: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._closed = ChildEvent(self.term.ending)

    def batches(self, after: Position | None, transform: SourceTransform) -> Iterator[Batch]:
        """Yield the records of the term as batches, an empty one about once a second while the brokers have none.

        Raises SourceUnavailable, and what the reader raises.
        """
        places = dict(self.start)
        if after is not None:
            places |= places_of(after.token)
        self.term.open_at(
            {
                each: its._replace(offset=max(its.offset, self.skipped.get(each, its.offset)))
                for each, its in places.items()
            }
        )
        yielded_at = time.monotonic()
        while not self._closed.is_set():
            began = time.monotonic()
            records = self._next(places)
            if records:
                yield self._batch(records, places, transform, began)
            elif time.monotonic() - yielded_at < _IDLE_S or not self.term.is_connected:
                continue
            else:
                yield Batch([], self.reader.position(places, [], []), began)
            yielded_at = time.monotonic()
        yield Batch([], Position(token_of(places), 0), time.monotonic())  # so that the pipeline sees that it ends

    def close(self) -> None:
        """End; the term goes on."""
        self._closed.set()

    def _next(self, places: dict[Partition, Place]) -> list[Record]:
        """Return the next records, each once, and move the places past them."""
        records = []
        for each in self._taken():
            partition = Partition(each.topic, each.partition)
            if each.offset >= (before := places.get(partition, _FIRST)).offset:
                places[partition] = self.reader.after(each, before)
                records.append(each)
        return records

    def _taken(self) -> list[Record]:
        """Take what waits; never only a part of what is of one cluster time, and at hand: it may be of one document."""
        taken, self._ahead = self._ahead or self.term.waiting.take(_LOOK_S), []
        while taken and (more := self.term.waiting.take(0)):
            if not self._goes_on(taken, more):
                self._ahead = more
                break
            taken += more
        return taken

    def _goes_on(self, taken: Sequence[Record], more: Sequence[Record]) -> bool:
        last = {(each.topic, each.partition): each for each in taken}
        first = {(each.topic, each.partition): each for each in reversed(more)}
        return any(self.reader.is_one_time(last[each], first[each]) for each in last.keys() & first.keys())

    def _batch(self, records: list[Record], places: Places, transform: SourceTransform, began: float) -> Batch:
        changes = self.reader.changes(records)
        position = self.reader.position(places, changes, records)
        size = sum(each.size for each in records)
        more = bool(self._ahead) or not self.term.waiting.is_empty
        return Batch(apply_transform(changes, transform), position, began, size, more=more)
