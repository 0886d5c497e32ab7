"""The records of penstock's own topics, which `penstock capture` writes: changes whose numbers leave none out.

OwnRecords   reads them, and checks their numbers
starts       where a term begins: where the group is, or at the mark that its keeper has kept
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import bson
from bson.errors import InvalidBSON

from penstock.delivery.lookup import looked_up, newest_last
from penstock.delivery.topics.keys import place_change
from penstock.errors import PositionLost, SystemicFault
from penstock.kafka.control_stream import begin_at
from penstock.kafka.log import Mark, NoHeaders, Numbered, numbered
from penstock.kafka.member import Term
from penstock.kafka.passed_mark import PassedMark
from penstock.kafka.positions import Partition, Place, Places, token_of
from penstock.kafka.records import Record
from penstock.kafka.topic_facts import TopicFacts
from penstock.model import BsonDocument, Change, Namespace, Position, version_of
from penstock.mongo.codec import CODEC, OF_IDS
from penstock.mongo.cursor import give_exact_ids
from penstock.wiring import Adapters


class Starts(NamedTuple):
    """Where a term begins. `skipped` are the first offsets of partitions that no longer hold where the group is.

    Such a partition is read from there; its place stays, so that the loss can be seen until a record was applied.
    """

    places: Places
    skipped: Mapping[Partition, int]


def starts(term: Term, passed: PassedMark, facts: TopicFacts) -> Starts:
    """Return where a term begins; notes the ids of its topics in it. Raises PositionLost, Stopped."""
    term.topic_ids = ids = facts.ids(sorted({each.topic for each in term.committed}))
    places = {}
    for each, committed in term.committed.items():
        if passed.mark.topics.get(each.topic, "") != ids[each.topic]:
            raise PositionLost(f"The topic {each.topic} was deleted and made again.")
        is_same = committed is not None and committed.topic_id == ids[each.topic]
        places[each] = begin_at(passed, each, committed.place if committed and is_same else None)
    first = facts.first_offsets(places)
    return Starts(places, {each: first[each] for each, place in places.items() if place.offset < first[each]})


class _Read(NamedTuple):
    """A record with its headers, or with the reason why it has none."""

    record: Record
    headers: Numbered | None
    problem: str = ""

    @property
    def has_document(self) -> bool:
        return self.headers is not None and self.headers.kind == "upsert" and self.record.value is not None


@dataclass
class OwnRecords:
    """Implements `penstock.delivery.topics.stream.Reader`; `newest` answers the newest mark, where it is known."""

    namespace: Namespace
    adapters: Adapters
    skipped: Mapping[Partition, int]
    newest: Callable[[], Mark | None]
    _read: list[_Read] = field(default_factory=list)

    def after(self, record: Record, before: Place) -> Place:
        """Return the place after a record. Raises SystemicFault, PositionLost when its number is not the next one."""
        try:
            headers = numbered(record.headers)
        except NoHeaders as error:
            self._read.append(_Read(record, None, str(error)))
            return before._replace(offset=record.offset + 1)
        if headers.number != before.number + 1:
            self._refuse(record, before.number, headers.number)
        self._read.append(_Read(record, headers))
        return Place(record.offset + 1, headers.number, headers.version)

    def is_one_time(self, before: Record, after: Record) -> bool:
        """See `Reader`."""
        try:
            return numbered(before.headers).version == numbered(after.headers).version
        except NoHeaders:
            return False

    def changes(self, records: Sequence[Record]) -> list[Change]:  # noqa: ARG002 (`after` has seen them)
        """See `Reader`."""
        read, self._read = self._read, []
        documents = iter(_documents([each.record.value or b"" for each in read if each.has_document]))
        changes = [self._change(each, next(documents) if each.has_document else None) for each in read]
        return newest_last(looked_up(changes, self.adapters))

    def position(self, places: Places, changes: Sequence[Change], records: Sequence[Record]) -> Position:  # noqa: ARG002
        """Its time is the lowest of the partitions; one that has reached the newest mark is at the mark's time."""
        mark = self.newest()
        lowest = min((_time_at(partition, place, mark) for partition, place in places.items()), default=0)
        return Position(token_of(places), lowest, version_of(int(time.time()), 0) if lowest else 0)

    def _change(self, read: _Read, document: BsonDocument | str | None) -> Change:
        record, headers, name = read.record, read.headers, self.namespace
        if headers is None:
            return place_change(record, name, read.problem)
        try:
            source_id = bson.decode(record.key or b"", OF_IDS)["_id"]
        except (InvalidBSON, KeyError) as error:
            return place_change(record, name, f"its key is no BSON with an _id ({type(error).__name__})")
        if headers.kind == "upsert" and not isinstance(document, dict):
            reason = f"{record.place}: {document or 'it has no value'}"
            return Change(name, "unreadable", headers.version, source_id, reason=reason)
        assert not isinstance(document, str)
        return Change(name, headers.kind, headers.version, source_id, document)

    def _refuse(self, record: Record, last: int, found: int) -> None:
        if Partition(record.topic, record.partition) in self.skipped and found > last:
            raise PositionLost(
                f"The topic {record.topic}, partition {record.partition}, no longer holds the changes {last + 1} to"
                f" {found - 1}, which were not applied yet.",
                "They are lost. The collection is loaded again where [pipeline] on_position_lost says so.",
            )
        raise SystemicFault(
            f"The {record.place}: its running number is {found}, but {last + 1} is next after {last}: changes are"
            f" {'missing' if found > last else 'repeated'}, and nothing from there on was applied. Somebody has written"
            " to the topic, or deleted records from it. Run `penstock load --again` for the collection: it goes on"
            " from the newest mark then."
        )


def _documents(values: Sequence[bytes]) -> list[BsonDocument | str]:
    """Decode documents, in one go where none is damaged; the reason stands in the place of one that is."""
    raw = b"".join(values)
    try:
        documents: list[BsonDocument] = bson.decode_all(raw, CODEC)
        if len(documents) != len(values):
            return [_document(each) for each in values]
        give_exact_ids(documents, lambda: bson.decode_all(raw, OF_IDS))
    except InvalidBSON:
        return [_document(each) for each in values]
    return list(documents)


def _document(value: bytes) -> BsonDocument | str:
    try:
        document: dict[str, Any] = bson.decode(value, CODEC)
        document["_id"] = bson.decode(value, OF_IDS)["_id"]
    except (InvalidBSON, KeyError) as error:
        return f"its document cannot be decoded ({type(error).__name__})"
    return document


def _time_at(partition: Partition, place: Place, mark: Mark | None) -> int:
    end = mark.ends.get(partition) if mark else None
    return mark.position.time if mark and end and place.number >= end.number else place.version
