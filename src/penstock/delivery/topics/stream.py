"""The records of one term as a source: read, understood, looked up where they carry no state, and transformed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from penstock.delivery.topics.change_events import changes_of_events
from penstock.delivery.topics.keys import IdKinds, changes_of_keys
from penstock.documents.document_id import document_id
from penstock.errors import SettingsError
from penstock.kafka.member import Record, Term
from penstock.kafka.positions import Partition, offsets_of, token_of
from penstock.model import CONTROL, Batch, Change, Namespace, Position, SourceTransform, version_of
from penstock.mongo.connection import cluster_time
from penstock.mongo.lookup import sample_ids
from penstock.pipeline.transform import apply_transform
from penstock.runtime.threads import ChildEvent
from penstock.settings import TopicSettings
from penstock.wiring import Adapters

_IDLE_S = 1.0
_LOOK_S = 0.1
_SAMPLED = 100
_MOST_NOT_UNDERSTOOD = 20
"""After this number of records of a topic, of which none was understood, the form is wrong, not the records."""


@dataclass
class TopicStream:
    """Implements `penstock.ports.Source`. After a fault another one is opened, where this one was completed."""

    term: Term
    topics: Sequence[TopicSettings]
    namespace: Namespace
    present: Namespace
    adapters: Adapters
    _closed: ChildEvent = field(init=False)
    _understood: set[str] = field(default_factory=set)
    _not_understood: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._closed = ChildEvent(self.term.ending)

    def batches(self, after: Position | None, transform: SourceTransform) -> Iterator[Batch]:
        """Yield the records of the term as batches, an empty one about once a second while the brokers have none.

        Raises SourceUnavailable, SettingsError for a topic whose records give no ids.
        """
        offsets = dict(self.term.start)
        if after is not None:
            offsets |= offsets_of(after.token)
        self.term.open_at(offsets)
        kinds = frozenset(map(type, self.adapters.ask(sample_ids, self.present, _SAMPLED)))
        yielded_at = time.monotonic()
        while not self._closed.is_set():
            began = time.monotonic()
            records = self._next(offsets)
            if records:
                yield self._batch(records, offsets, kinds, transform, began)
            elif time.monotonic() - yielded_at < _IDLE_S or not self.term.is_connected:
                continue
            else:
                yield Batch([], Position(token_of(offsets), 0), began)
            yielded_at = time.monotonic()
        yield Batch([], Position(token_of(offsets), 0), time.monotonic())  # so that the pipeline sees that it ends

    def close(self) -> None:
        """End; the term goes on."""
        self._closed.set()

    def _next(self, offsets: dict[Partition, int]) -> list[Record]:
        """Return the next records, each once, and move the offsets past them."""
        records = []
        for each in self.term.take(_LOOK_S):
            partition = Partition(each.topic, each.partition)
            if each.offset >= offsets.get(partition, 0):
                offsets[partition] = each.offset + 1
                records.append(each)
        return records

    def _batch(
        self,
        records: list[Record],
        offsets: dict[Partition, int],
        kinds: IdKinds,
        transform: SourceTransform,
        began: float,
    ) -> Batch:
        changes = _newest_last(self._looked_up(_folded(self._changes(records, kinds))))
        at = max(
            [change.version for change in changes if change.version]
            or [version_of(max(each.timestamp_ms for each in records) // 1000, 0)]
        )
        size = sum(each.size for each in records)
        position = Position(token_of(offsets), at)
        return Batch(apply_transform(changes, transform), position, began, size, more=not self.term.chunks.empty())

    def _changes(self, records: Sequence[Record], kinds: IdKinds) -> list[Change]:
        changes: list[Change] = []
        for topic in self.topics:
            its = [each for each in records if each.topic == topic.topic]
            if topic.form == "keys":
                found = changes_of_keys(its, self.namespace)
            else:
                found = changes_of_events(its, self.namespace, kinds)
            self._require_understood(topic, found)
            changes += found
        return changes

    def _require_understood(self, topic: TopicSettings, changes: Sequence[Change]) -> None:
        """Raise SettingsError when nothing of a topic is understood; single records become dead letters."""
        if topic.topic in self._understood or not changes:
            return
        wrong = [each for each in changes if each.kind == "unreadable"]
        if len(wrong) < len(changes):
            self._understood.add(topic.topic)
            return
        self._not_understood[topic.topic] = self._not_understood.get(topic.topic, 0) + len(wrong)
        if self._not_understood[topic.topic] >= _MOST_NOT_UNDERSTOOD:
            raise SettingsError(
                f'[[topics]] {topic.topic}: none of its records is understood as form = "{topic.form}". The first one'
                f" of these: {wrong[0].reason}. Correct form, or how the topic is filled."
            )

    def _looked_up(self, changes: list[Change]) -> list[Change]:
        if not any(each.kind == "unresolved" for each in changes):
            return changes
        now = self.adapters.ask(cluster_time)  # whatever was in the change stream before the record, a read shows then
        return self.adapters.states(
            [each._replace(version=each.version or now) if each.kind == "unresolved" else each for each in changes]
        )


def _folded(changes: Sequence[Change]) -> list[Change]:
    """Return the same changes; of a document that is looked up several times, only the last one is.

    The others are deletes, which the pipeline folds into the last one.
    """
    asked = {place: document_id(each.id) for place, each in enumerate(changes) if each.kind == "unresolved"}
    last = {text_id: place for place, text_id in asked.items()}
    return [
        each._replace(kind="delete") if place in asked and last[asked[place]] != place else each
        for place, each in enumerate(changes)
    ]


def _newest_last(changes: list[Change]) -> list[Change]:
    """Return the same changes; those of one document in the order of their versions.

    A connector that starts again repeats what it had sent: then an older state follows a newer one.
    """
    if all(before.version <= after.version for before, after in pairwise(changes)):
        return changes
    places: dict[str, list[int]] = {}
    for place, each in enumerate(changes):
        if each.kind not in CONTROL:
            places.setdefault(document_id(each.id), []).append(place)
    ordered = list(changes)
    for its in places.values():
        for place, each in zip(its, sorted((changes[one] for one in its), key=_version), strict=True):
            ordered[place] = each
    return ordered


def _version(change: Change) -> int:
    return change.version
