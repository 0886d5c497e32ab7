"""The ranges of one term as a source: each is read, and its offset is reached when all of it was."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from penstock.delivery.shared_load.task import Task
from penstock.errors import Stopped
from penstock.kafka.member import Term
from penstock.kafka.positions import Partition, Place, places_of, token_of
from penstock.model import Batch, Position, SourceTransform
from penstock.mongo.id_ranges import IdSlice
from penstock.mongo.load import MongoLoad
from penstock.opensearch.state.shared_load import LoadPlan
from penstock.runtime.threads import ChildEvent

_LOOK_S = 0.2
_START = Place(-2)
"""librdkafka's OFFSET_BEGINNING."""


@dataclass
class RangeStream:
    """Implements `penstock.ports.Source`. It ends with the term. No batch has documents of two ranges.

    A position within a range is the one before it: a range that was not read to its end is read again, which changes
    nothing. `open_load` reads a range; each part of it has a version from before its read. `on_task` is called
    with the place of a task before its range is read.
    """

    term: Term
    plan: LoadPlan
    open_load: Callable[[threading.Event, IdSlice], MongoLoad]
    on_task: Callable[[Partition, int, Task], None]
    _closed: ChildEvent = field(init=False)

    def __post_init__(self) -> None:
        self._closed = ChildEvent(self.term.ending)

    def batches(self, after: Position | None, transform: SourceTransform) -> Iterator[Batch]:
        """Yield the documents of each range, and after its last one an empty batch at the offset behind it.

        Raises Stopped, SourceUnavailable.
        """
        places = {each: its.place if its else _START for each, its in self.term.committed.items()}
        if after is not None:
            places |= places_of(after.token)
        self.term.open_at(places)
        while not self._closed.is_set():
            records = self.term.waiting.take(_LOOK_S)
            if not records:  # what is in flight is completed when something follows
                yield Batch([], Position(token_of(places), 0), time.monotonic())
            for record in records:
                partition = Partition(record.topic, record.partition)
                _, end = self.plan.partitions.get(record.partition, (0, 0))
                if not places[partition].offset <= record.offset < end:
                    continue  # it was read, or it is of a later plan, whose members read it
                time_read = 0
                if (task := Task.of(record.value, self.plan)) and task.part:
                    self.on_task(partition, record.offset, task)
                    for batch in self.open_load(self._closed, task.part).batches(None, transform):
                        time_read = batch.position.time
                        yield replace(batch, position=Position(token_of(places), time_read))
                places[partition] = Place(record.offset + 1)
                yield Batch([], Position(token_of(places), time_read), time.monotonic(), whole=True)
        raise Stopped("the term ends")

    def close(self) -> None:
        """End, in the middle of a range too; the term goes on."""
        self._closed.set()
