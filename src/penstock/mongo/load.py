"""The load: every document of one collection, in ranges of `_id`, from any position on.

A range begins with the cluster time that all its changes carry as their version, so that a change which the stream
brings later is never taken for older. It ends after a number of documents, or when it has become too old to be sent.
"""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import repeat
from typing import Any, Self

import bson
import structlog
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo.errors import NetworkTimeout, PyMongoError

from penstock.documents.document_id import can_be_asked_for
from penstock.errors import SourceUnavailable, Stopped
from penstock.model import (
    Batch,
    BsonDocument,
    Change,
    Namespace,
    Position,
    SourceTransform,
    TransformedChange,
    in_rows,
)
from penstock.mongo.codec import CODEC, OF_IDS
from penstock.mongo.collections import reached_time, types_of_ends
from penstock.mongo.connection import RAW, Connection, cluster_time
from penstock.mongo.cursor import CursorReply, FindCursor, decoded, give_exact_ids, undecoded
from penstock.mongo.error_table import Fault, fault_of, in_words
from penstock.mongo.id_ranges import BRACKETS, IdSlice, LoadProgress, brackets_between, progress_of
from penstock.mongo.retrying import Retries
from penstock.observe.metrics import Metrics
from penstock.pipeline.transform import apply_transform
from penstock.runtime.threads import ChildEvent

log = structlog.get_logger(__name__)

_MAX_RANGE_S = 5.0
"""How long one range is read at most: a slow sink must not leave it with documents that are too old to be sent."""

_REPLY_DOCUMENTS = 1000
_RAW_IDS = RAW.with_options(unicode_decode_error_handler="surrogateescape")


class MongoLoad:
    """The source of one collection's load. A `penstock.ports.Source` that ends."""

    _transform: SourceTransform

    def __init__(
        self,
        connection: Connection,
        namespace: Namespace,
        *,
        served_as: Namespace | None = None,
        name: str,
        metrics: Metrics,
        stop: threading.Event,
        range_size: int = 20_000,
        rate: float | None = None,
    ) -> None:
        """`served_as` is the name that its changes go by, where the source has another one."""
        self._connection = connection
        self._client = connection.client
        self._namespace = namespace
        self._served_as = served_as or namespace
        self._name = name
        self._metrics = metrics
        self._ending = ChildEvent(stop)
        self._range_size = max(1, min(range_size, int(rate))) if rate else range_size
        self._rate = rate
        self._part: IdSlice | None = None
        self._asked_for = _REPLY_DOCUMENTS
        self._progress = LoadProgress()
        self._stands = False
        """The last range held no id that a query can name, so the next one goes on until there is one. A text that is
        not UTF-8 is such an id; to go on after another one instead could leave out what is between them."""
        self._brackets: range | None = None
        """Those that hold documents; what comes into others after this was asked comes with the stream."""
        self._begun_at = 0
        self._moment: tuple[float, int] | None = None
        """When the next range's version was asked for, and the version; it serves until something was read."""

    def within(self, part: IdSlice) -> Self:
        """Let it read only this part of the collection."""
        self._part = part
        return self

    def batches(self, after: Position | None, transform: SourceTransform) -> Generator[Batch]:
        """Yield each reply of the server until all is read.

        When asked to stop, it raises Stopped: an end without an error means that everything was read, or `close`.
        It may be called again after a close.
        """
        self._ending.clear()
        self._transform = transform
        start = self._part.start if self._part and after is None else progress_of(after)
        self._progress, self._brackets, self._moment, self._stands = start, None, None, False
        retries = Retries(self._connection, self._ending)
        try:
            while not self._progress.over:
                self._client = self._connection.client
                try:
                    for batch in self._read_range():
                        retries.succeeded()
                        self._metrics.count("penstock_load_documents_total", len(batch.changes), pipeline=self._name)
                        yield batch
                        self._raise_if_stopped()
                except PyMongoError as error:
                    self._recover(error, retries)
        except Stopped:
            if not self._ending.closed:
                raise

    def close(self) -> None:
        """End `batches`, after the present reply."""
        self._ending.set()

    def _read_range(self) -> Iterator[Batch]:
        """Read one range; `_progress` moves with each reply, and to the next bracket at the end of this one."""
        self._raise_if_stopped()
        number, bracket = self._progress.bracket, BRACKETS[self._progress.bracket]
        steps = bracket.way == "steps"
        if self._brackets is None:
            self._begun_at = cluster_time(self._client)
            self._moment = self._next_moment()
            its = self._part and self._part.brackets
            self._brackets = its or brackets_between(*types_of_ends(self._client, self._namespace))
        if number not in self._brackets or (self._progress.begun and not steps):
            self._progress = LoadProgress(number + 1)
            return
        start, limit = self._progress, self._range_size if steps and not self._stands else 0
        if self._moment is None:
            self._moment = self._next_moment()
        read_at, version = self._moment
        count = 0
        for changes, size in self._replies(bracket.filter(self._progress, self._end), limit, version):
            count += len(changes)
            self._moment = None
            last = next((change for change in reversed(changes) if can_be_asked_for(change.id)), None)
            if bracket.way != "type" and last is not None:
                self._progress = LoadProgress(number, last.id, begun=True)
            yield Batch(changes, self._progress.position(version), read_at, size, more=True)
            self._throttle(count, read_at)
            has_moved = self._progress is not start
            if steps and has_moved and (self._stands or time.monotonic() - read_at > _MAX_RANGE_S):
                self._stands = False
                return
        if count < limit or not limit:
            self._progress, self._stands = LoadProgress(number + 1), False
        else:
            self._stands = self._progress is start

    @property
    def _end(self) -> LoadProgress | None:
        return self._part.end if self._part else None

    def _next_moment(self) -> tuple[float, int]:
        """Now, and a cluster time that reads have reached: the load's beginning at least, the stream has the rest."""
        return time.monotonic(), reached_time(self._client, self._namespace, self._begun_at)

    def _replies(self, wanted: BsonDocument, limit: int, version: int) -> Iterator[tuple[list[TransformedChange], int]]:
        """Answer the changes and the bytes of each reply that holds any."""
        size = min(limit or self._asked_for, self._asked_for)
        with closing(FindCursor(self._client, self._namespace.db, self._namespace.coll, batch_size=size)) as cursor:
            reply = cursor.open(wanted, limit=limit)
            while True:
                if reply.count:
                    yield self._decode(reply, version), reply.size
                if not cursor.alive:
                    return
                self._asked_for = cursor.batch_size = min(2 * self._asked_for, _REPLY_DOCUMENTS)
                reply = cursor.next()

    def _decode(self, reply: CursorReply, version: int) -> list[TransformedChange]:
        changes: list[TransformedChange] = []
        for piece in reply.pieces():
            changes += changes_in(piece, self._served_as, version, self._transform)
        return changes

    def _throttle(self, count: int, since: float) -> None:
        if self._rate:
            self._ending.wait(max(0.0, count / self._rate - (time.monotonic() - since)))
        self._raise_if_stopped()

    def _raise_if_stopped(self) -> None:
        if self._ending.is_set():
            raise Stopped(f"stopped before {self._namespace} was loaded")

    def _recover(self, error: PyMongoError, retries: Retries) -> None:
        """Prepare going on after an error, or raise what ends the load."""
        self._moment = None
        fault = fault_of(error)
        if fault is Fault.REFUSED and BRACKETS[self._progress.bracket].way != "steps":
            self._progress = LoadProgress(self._progress.bracket + 1)  # a server that cannot ask for a type holds none
            return
        retries.require_retryable(error, self._client, f"the load of {self._namespace}")
        if isinstance(error, NetworkTimeout):  # the same request would take as long again
            self._asked_for = max(1, self._asked_for // 10)
        self._metrics.count("penstock_source_resumes_total", pipeline=self._name)
        waited = retries.wait()
        log.info(
            "load resumes",
            pipeline=self._name,
            reason=fault.name.lower(),
            error=in_words(error),
            waited_s=round(waited, 2),
        )


def changes_of(raw: bytes, namespace: Namespace, version: int) -> list[Change]:
    """Decode documents that follow each other; one that cannot be decoded becomes `unreadable`, alone."""
    try:
        documents = bson.decode_all(raw, CODEC)
    except InvalidBSON:
        return [_change_of(each, namespace, version) for each in _documents_in(raw)]
    give_exact_ids(documents, lambda: bson.decode_all(raw, OF_IDS))
    return [Change(namespace, "upsert", version, document["_id"], document) for document in documents]


def changes_in(piece: bytes, namespace: Namespace, version: int, transform: SourceTransform) -> list[TransformedChange]:
    """Decode and transform a piece of a reply, in one go where nothing in it is damaged."""
    try:
        documents = decoded(piece)
    except InvalidBSON:
        return apply_transform([_change_of(each, namespace, version) for each in undecoded(piece)], transform)
    ids = [document["_id"] for document in documents]  # before the transform uses them up
    return in_rows(
        TransformedChange,
        namespace=repeat(namespace),
        kind=repeat("upsert"),
        version=repeat(version),
        id=ids,
        body=transform(namespace, documents),
    )


def _change_of(raw: bytes, namespace: Namespace, version: int) -> Change:
    try:
        document = bson.decode(raw, CODEC)
        document["_id"] = bson.decode(raw, OF_IDS)["_id"]
    except InvalidBSON as error:
        reason = f"the document cannot be decoded: {error}"
        return Change(namespace, "unreadable", version, _id_of(raw, namespace), reason=reason)
    return Change(namespace, "upsert", version, document["_id"], document)


def _id_of(raw: bytes, namespace: Namespace) -> Any:
    try:
        source_id = RawBSONDocument(raw, _RAW_IDS)["_id"]
    except (InvalidBSON, KeyError) as error:
        raise SourceUnavailable(
            f"A document of {namespace} is damaged: its _id cannot be read ({error}). Run `validate` on the collection"
            " and repair it."
        ) from error
    return bson.decode(source_id.raw, OF_IDS) if isinstance(source_id, RawBSONDocument) else source_id


def _documents_in(raw: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(raw):
        end = start + int.from_bytes(raw[start : start + 4], "little")
        yield raw[start:end]
        start = end
