"""The two sides that the contract of `penstock.ports.Source` is tested on: in memory, and on a real server."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from pymongo.database import Database

from penstock.memory.source import MemorySource
from penstock.model import Batch, Namespace, Position, TransformedChange
from penstock.mongo.collections import identities
from penstock.mongo.connection import Connection, cluster_time
from penstock.mongo.load import MongoLoad
from penstock.mongo.stream import MongoStream
from penstock.mongo.watch import watches
from penstock.observe.metrics import Metrics
from penstock.runtime.intervals import Intervals

IDLE_BATCHES = 40
"""After this number of answers without what a test waits for, it will not come."""
ENDS_AFTER_S = 100
"""Nor will it after this time, where the source gives no answer at all."""


def whole(_namespace: Namespace, documents: Sequence[dict[str, Any]]) -> Sequence[Any]:
    """A transform that makes nothing: the body of a document is the document, so that a test sees what was decoded."""
    return documents


class MemorySide:
    """Writes to, and reads from, a source in memory."""

    def __init__(self) -> None:
        self.source = MemorySource()
        self.stop = threading.Event()

    def name(self, coll: str) -> Namespace:
        return Namespace("shop", coll)

    def time(self) -> int:
        return self.source.time

    def now(self, stream) -> Position:
        return stream.position_now()

    def tells_identities(self, coll: str) -> bool:
        return True

    def insert(self, coll: str, *documents: dict[str, Any]) -> None:
        for each in documents:
            self.source.insert(self.name(coll), each)

    def replace(self, coll: str, document: dict[str, Any]) -> None:
        self.source.insert(self.name(coll), document)

    def update(self, coll: str, key: Any, **fields: Any) -> None:
        self.source.update(self.name(coll), key, fields)

    def delete(self, coll: str, key: Any) -> None:
        self.source.delete(self.name(coll), key)

    def drop(self, coll: str) -> None:
        self.source.drop(self.name(coll))

    def rename(self, coll: str, to: str) -> None:
        self.source.rename(self.name(coll), self.name(to))

    def drop_database(self) -> None:
        self.source.drop_database("shop")

    def stream(self, *colls: str, batch_size: int = 1000):
        names = [self.name(coll) for coll in colls]
        return self.source.stream(*names, stop=self.stop, batch_size=batch_size, wait_s=0.1)

    def load(self, coll: str, *, range_size: int = 1000):
        return self.source.load(self.name(coll), stop=self.stop, range_size=range_size)


class RealSide:
    """The same on a server; the database is the test's own."""

    def __init__(self, connection: Connection, database: Database) -> None:
        self.connection = connection
        self.database = database
        self.metrics = Metrics()
        self.stop = threading.Event()

    def name(self, coll: str) -> Namespace:
        return Namespace(self.database.name, coll)

    def now(self, stream) -> Position:
        """The stream's position after all that was written; MongoDB 4.0 includes the last write, so it is another's."""
        self.database["elsewhere"].insert_one({})
        return stream.position_now()

    def time(self) -> int:
        return cluster_time(self.connection.client)

    def insert(self, coll: str, *documents: dict[str, Any]) -> None:
        self.database[coll].insert_many(documents)

    def replace(self, coll: str, document: dict[str, Any]) -> None:
        self.database[coll].replace_one({"_id": document["_id"]}, document)

    def update(self, coll: str, key: Any, **fields: Any) -> None:
        self.database[coll].update_one({"_id": key}, {"$set": fields})

    def delete(self, coll: str, key: Any) -> None:
        self.database[coll].delete_one({"_id": key})

    def drop(self, coll: str) -> None:
        self.database[coll].drop()

    def rename(self, coll: str, to: str) -> None:
        self.database[coll].rename(to, dropTarget=True)

    def tells_identities(self, coll: str) -> bool:
        return bool(identities(self.connection.client, self.database.name, [coll])[coll])

    def drop_database(self) -> None:
        self.database.client.drop_database(self.database.name)

    def stream(self, *colls: str, batch_size: int = 1000, cursor_per: str = "database"):
        (watch,) = watches([self.name(coll) for coll in colls], cursor_per)
        return MongoStream(
            self.connection,
            watch,
            name="test",
            metrics=self.metrics,
            stop=self.stop,
            batch_size=batch_size,
            intervals=Intervals(stream_wait_s=0.1),
        )

    def load(self, coll: str, *, range_size: int = 1000, rate: float | None = None):
        return MongoLoad(
            self.connection,
            self.name(coll),
            name="test",
            metrics=self.metrics,
            stop=self.stop,
            range_size=range_size,
            rate=rate,
        )


def read_until(source, after: Position | None, enough: Callable[[list[Batch]], bool]) -> list[Batch]:
    """Read batches until there are enough; fails when they do not come."""
    batches: list[Batch] = []
    idle = 0
    with closing_after(source, ENDS_AFTER_S), closing(source.batches(after, whole)) as answers:
        for batch in answers:
            batches.append(batch)
            if enough(batches):
                return batches
            idle = 0 if batch.changes else idle + 1
            assert idle < IDLE_BATCHES, f"not enough came: {changes_of(batches)}"
    raise AssertionError(f"the source ended: {changes_of(batches)}")


@contextmanager
def closing_after(source, within_s: float) -> Iterator[None]:
    """End what is read from the source after this time, so that a test of it fails rather than waits for ever."""
    timer = threading.Timer(within_s, source.close)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def read_changes(source, after: Position | None, count: int) -> list[TransformedChange]:
    """Read this number of changes, or more when they come together."""
    return changes_of(read_until(source, after, lambda batches: len(changes_of(batches)) >= count))


def changes_of(batches: Iterable[Batch]) -> list[TransformedChange]:
    return [change for batch in batches for change in batch.changes]


def shown(changes: Iterable[TransformedChange]) -> list[tuple]:
    """What a test compares: the kind and the document or the id."""
    return [(change.kind, change.body if change.kind == "upsert" else change.id) for change in changes]
