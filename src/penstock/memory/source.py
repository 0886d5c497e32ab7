"""A source in memory, with collections, a change log and loads; for tests and for trying things out.

source = MemorySource()
source.insert(orders, {"_id": 1})
source.stream(orders).batches(None, transform)      as of a change stream
source.load(orders).batches(None, transform)        as of a load
"""

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Literal, NamedTuple

import bson

from penstock.documents.document_id import document_id
from penstock.errors import PositionLost, Stopped
from penstock.model import Batch, Change, Kind, Namespace, Position, SourceTransform
from penstock.pipeline.transform import apply_transform

_Kind = Kind | Literal["update"]
"""`update`: the document is looked up when the entry is read, as a change stream does."""


class _Entry(NamedTuple):
    """One line of the change log; `life` tells a collection from an earlier one of the same name."""

    number: int
    version: int
    namespace: Namespace
    kind: _Kind
    id: Any = None
    document: dict[str, Any] | None = None
    to: Namespace | None = None
    life: int = 0


class _Collection:
    """The documents by document id; `life` is unlike any earlier collection's."""

    def __init__(self, life: int) -> None:
        self.life = life
        self.documents: dict[str, dict[str, Any]] = {}


class MemorySource:
    """Databases of one server; its cluster time rises with each write. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._collections: dict[Namespace, _Collection] = {}
        self._log: list[_Entry] = []
        self._number = 0
        self._forgotten = 0
        self._time = int(time.time()) << 32
        self._in_transaction = False

    @property
    def time(self) -> int:
        """The cluster time of the last write."""
        with self._changed:
            return self._time

    def insert(self, namespace: Namespace, document: dict[str, Any]) -> None:
        """Insert a document, or replace the one with its `_id`."""
        with self._changed:
            held = self._held(namespace)
            held.documents[document_id(document["_id"])] = deepcopy(document)
            self._append(namespace, "upsert", document["_id"], deepcopy(document), life=held.life)

    def update(self, namespace: Namespace, key: Any, fields: dict[str, Any]) -> None:
        """Set top-level fields of a document that is there; the change carries the document as it is when read."""
        with self._changed:
            held = self._held(namespace)
            held.documents[document_id(key)].update(deepcopy(fields))
            self._append(namespace, "update", key, life=held.life)

    def delete(self, namespace: Namespace, key: Any) -> None:
        """Delete a document; nothing happens where there is none."""
        with self._changed:
            if self._held(namespace).documents.pop(document_id(key), None) is not None:
                self._append(namespace, "delete", key)

    def drop(self, namespace: Namespace) -> None:
        """Drop a collection; its documents give no changes of their own."""
        with self._changed:
            if self._collections.pop(namespace, None):
                self._append(namespace, "drop")

    def drop_database(self, db: str) -> None:
        """Drop every collection of a database, and say so."""
        with self._changed:
            for namespace in [each for each in self._collections if each.db == db]:
                self.drop(namespace)
            self._append(Namespace(db, ""), "drop_database")

    def rename(self, namespace: Namespace, to: Namespace) -> None:
        """Give a collection another name, in the place of one that has it."""
        with self._changed:
            self._collections[to] = self._collections.pop(namespace)
            self._append(namespace, "rename", to=to)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside has one cluster time."""
        with self._changed:
            self._time = self._next_time()
            self._in_transaction = True
            try:
                yield
            finally:
                self._in_transaction = False

    def forget(self) -> None:
        """Lose the change log: positions before now are lost."""
        with self._changed:
            self._log.clear()
            self._forgotten = self._number

    def documents(self, namespace: Namespace) -> dict[str, dict[str, Any]]:
        """The documents of a collection as they are now, by document id."""
        with self._changed:
            found = self._collections.get(namespace)
            return deepcopy(found.documents) if found else {}

    def stream(
        self,
        *namespaces: Namespace,
        stop: threading.Event | None = None,
        batch_size: int = 1000,
        wait_s: float = 1.0,
    ) -> "MemoryStream":
        """A change stream of these collections of one database."""
        return MemoryStream(self, frozenset(namespaces), stop=stop or threading.Event(), limits=(batch_size, wait_s))

    def load(
        self, namespace: Namespace, *, stop: threading.Event | None = None, range_size: int = 20_000
    ) -> "MemoryLoad":
        """A load of one collection."""
        return MemoryLoad(self, namespace, stop=stop or threading.Event(), range_size=range_size)

    def position(self) -> Position:
        """The position after everything that was written."""
        with self._changed:
            return Position(str(self._number), self._time)

    def read_log(self, after: int, wanted: frozenset[Namespace], count: int) -> tuple[list[Change], Position]:
        """Answer changes after an entry's number, with the position reached. Raises PositionLost."""
        with self._changed:
            if after < self._forgotten:
                names = ", ".join(sorted(map(str, wanted)))
                raise PositionLost(f"The change log no longer holds the position of {names}; load them again.")
            entries = self._log[after - self._forgotten :]
            seen = [entry for entry in entries if _wanted(entry, wanted)][:count]
            full = len(seen) == count
            reached = seen[-1] if full else entries[-1] if entries else None
            position = Position(str(reached.number), reached.version) if reached else self.position()
            return [self._change(entry) for entry in seen], position

    def read_range(self, namespace: Namespace, after: str, count: int) -> tuple[int, list[tuple[str, dict[str, Any]]]]:
        """Answer documents in the order of their document ids, and the cluster time before."""
        with self._changed:
            found = self._collections.get(namespace)
            keys = sorted(key for key in found.documents if key > after)[:count] if found else []
            return self._time, [(key, deepcopy(found.documents[key])) for key in keys if found]

    def await_writes(self, after: int, timeout_s: float) -> None:
        """Wait until something was written after an entry's number, or for the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > after, timeout_s)

    def wake(self) -> None:
        """End the waits of all streams."""
        with self._changed:
            self._changed.notify_all()

    def _held(self, namespace: Namespace) -> _Collection:
        if namespace not in self._collections:
            self._collections[namespace] = _Collection(self._number + 1)
        return self._collections[namespace]

    def _next_time(self) -> int:
        return max(int(time.time()) << 32, self._time + 1)

    def _append(
        self,
        namespace: Namespace,
        kind: _Kind,
        key: Any = None,
        document: dict[str, Any] | None = None,
        *,
        to: Namespace | None = None,
        life: int = 0,
    ) -> None:
        if not self._in_transaction:
            self._time = self._next_time()
        self._number += 1
        self._log.append(_Entry(self._number, self._time, namespace, kind, key, document, to, life))
        self._changed.notify_all()

    def _change(self, entry: _Entry) -> Change:
        if entry.kind != "update":
            return Change(entry.namespace, entry.kind, entry.version, entry.id, deepcopy(entry.document), entry.to)
        found = self._collections.get(entry.namespace)
        if found is None or found.life != entry.life:
            return Change(entry.namespace, "gone", entry.version, entry.id)
        document = found.documents.get(document_id(entry.id))
        if document is None:
            return Change(entry.namespace, "delete", entry.version, entry.id)
        return Change(entry.namespace, "upsert", entry.version, entry.id, deepcopy(document))


class MemoryStream:
    """The change stream of some collections. A `penstock.ports.Source`."""

    def __init__(
        self,
        source: MemorySource,
        namespaces: frozenset[Namespace],
        *,
        stop: threading.Event,
        limits: tuple[int, float],
    ) -> None:
        self._source = source
        self._namespaces = namespaces
        self._stop = stop
        self._batch_size, self._wait_s = limits
        self._closed = threading.Event()

    def batches(self, after: Position | None, transform: SourceTransform) -> Generator[Batch]:
        """See `penstock.ports.Source`; may be called again after `close`."""
        self._closed.clear()
        position = after or self._source.position()
        if after is None:
            yield Batch([], position, time.monotonic())
        while not self._closed.is_set() and not self._stop.is_set():
            read_at = time.monotonic()
            changes, position = self._source.read_log(_number(position), self._namespaces, self._batch_size)
            full = len(changes) == self._batch_size
            size = _size(changes)
            yield Batch(apply_transform(changes, transform), position, read_at, size, full)
            if not full and not self._closed.is_set():
                self._source.await_writes(_number(position), self._wait_s)

    def position_now(self) -> Position:
        """A position from which everything that happens from now on will be seen."""
        return self._source.position()

    def close(self) -> None:
        """See `penstock.ports.Source`."""
        self._closed.set()
        self._source.wake()


class MemoryLoad:
    """The load of one collection. A `penstock.ports.Source`."""

    def __init__(self, source: MemorySource, namespace: Namespace, *, stop: threading.Event, range_size: int) -> None:
        self._source = source
        self._namespace = namespace
        self._stop = stop
        self._range_size = range_size
        self._closed = threading.Event()

    def batches(self, after: Position | None, transform: SourceTransform) -> Generator[Batch]:
        """See `penstock.ports.Source`; may be called again after `close`."""
        self._closed.clear()
        last = after.token if after else ""
        while not self._closed.is_set():
            if self._stop.is_set():
                raise Stopped(f"stopped before {self._namespace} was loaded")
            read_at = time.monotonic()
            version, found = self._source.read_range(self._namespace, last, self._range_size)
            if not found:
                return
            last = found[-1][0]
            changes = [Change(self._namespace, "upsert", version, each["_id"], each) for _, each in found]
            size = _size(changes)
            yield Batch(apply_transform(changes, transform), Position(last, version), read_at, size, more=True)

    def close(self) -> None:
        """See `penstock.ports.Source`."""
        self._closed.set()


def _wanted(entry: _Entry, namespaces: frozenset[Namespace]) -> bool:
    if entry.namespace in namespaces or entry.to in namespaces:
        return True
    return entry.kind == "drop_database" and any(entry.namespace.db == each.db for each in namespaces)


def _number(position: Position) -> int:
    return int(position.token)


def _size(changes: Sequence[Change]) -> int:
    return sum(len(bson.encode(change.document)) for change in changes if change.document)
