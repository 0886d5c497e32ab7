"""The records of one term as a source: read, understood, looked up where they carry no state, and transformed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from penstock.delivery.lookup import looked_up, newest_last
from penstock.delivery.topics.keys import IdKinds
from penstock.delivery.topics.understanding import Understanding
from penstock.kafka.member import Term
from penstock.kafka.positions import Partition, offsets_of, token_of
from penstock.kafka.records import Record
from penstock.model import Batch, Namespace, Position, SourceTransform, version_of
from penstock.mongo.lookup import sample_ids
from penstock.pipeline.transform import apply_transform
from penstock.runtime.threads import ChildEvent
from penstock.settings import TopicSettings
from penstock.wiring import Adapters

_IDLE_S = 1.0
_LOOK_S = 0.1
_SAMPLED = 100


@dataclass
class TopicStream:
    """Implements `penstock.ports.Source`. After a fault another one is opened, where this one was completed."""

    term: Term
    topics: Sequence[TopicSettings]
    namespace: Namespace
    present: Namespace
    adapters: Adapters
    _closed: ChildEvent = field(init=False)
    _understanding: Understanding = field(init=False)

    def __post_init__(self) -> None:
        self._closed = ChildEvent(self.term.ending)
        self._understanding = Understanding(self.topics, self.namespace)

    def batches(self, after: Position | None, transform: SourceTransform) -> Iterator[Batch]:
        """Yield the records of the term as batches, an empty one about once a second while the brokers have none.

        Raises SourceUnavailable, TopicRefused for a topic whose records give no ids.
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
        changes = newest_last(looked_up(self._understanding.changes(records, kinds), self.adapters))
        at = max(
            [change.version for change in changes if change.version]
            or [version_of(max(each.timestamp_ms for each in records) // 1000, 0)]
        )
        size = sum(each.size for each in records)
        position = Position(token_of(offsets), at)
        return Batch(apply_transform(changes, transform), position, began, size, more=not self.term.chunks.empty())
