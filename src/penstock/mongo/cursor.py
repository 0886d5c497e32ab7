"""Cursors by the server's own commands; their replies are taken apart without decoding the documents.

The driver's ChangeStream is not used: it gives one event at a time, resumes by rules that DocumentDB does not follow,
and hides the token of an idle reply. Its cursors of raw batches make an object of each document only to join them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct
from typing import NamedTuple

import bson
from bson.errors import InvalidBSON
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from penstock.documents.document_id import may_have_bytes
from penstock.model import BsonDocument
from penstock.mongo.codec import CODEC, OF_IDS
from penstock.mongo.connection import RAW, SourceClient, newest_time_of, time_of
from penstock.mongo.members import PRIMARY, Member

_EMPTY_ARRAY = b"\5\0\0\0\0"
"""An array of nothing."""

_PIECE_BYTES = 48 * 1024
"""Raw; decoded it takes some 5 times as much, and the level-two cache of a core holds 1 MB or 2."""

_BEFORE_ARRAY = 6
"""The bytes of a piece before its array: its size, the array's type, a name without letters."""

_SIZE = Struct("<I").unpack_from

_FULL_BYTES = 12 * 1024 * 1024
"""A reply above this was ended by its size (16 MB), not for want of events."""


@dataclass(frozen=True, slots=True)
class CursorReply:
    """One answer of the server. `time` is its cluster time, `token` where an idle stream stands, if it says so.
    `newest_time` is the newest time that it knows of in the whole set; 0 where it does not say (DocumentDB).

    `batch` is its array of documents, raw: those of a find, or the events of a change stream. `bounds` tells where in
    it the first element begins and where each ends; `size` is the reply's, in bytes.
    """

    batch: bytes
    bounds: list[int]
    token: BsonDocument | None
    time: int
    newest_time: int
    size: int
    full: bool

    @property
    def count(self) -> int:
        """How many documents there are."""
        return len(self.bounds) - 1

    @property
    def events(self) -> list[BsonDocument]:
        """All documents, as events."""
        return events_in(self._piece(0, self.count))

    def pieces(self) -> Iterator[bytes]:
        """Yield the documents, a few at a time: what is decoded from them then fits the cache of a processor core.

        A piece is for `events_in`, `decoded` and `undecoded`.
        """
        step = max(1, self.count * _PIECE_BYTES // self.size)
        for first in range(0, self.count, step):
            yield self._piece(first, min(first + step, self.count))

    def _piece(self, first: int, end: int) -> bytes:
        """A document whose one field is the array of these: their names are not looked at when it is decoded."""
        elements = self.batch[self.bounds[first] : self.bounds[end]]
        size = len(elements) + 5
        return (size + 7).to_bytes(4, "little") + b"\x04\0" + size.to_bytes(4, "little") + elements + b"\0\0"


class Undecodable(NamedTuple):
    """Stands where a document should be that cannot be decoded."""

    reason: str


class _Cursor:
    """A cursor must be closed, for DocumentDB allows few. Used by one thread; `id` is 0 when it is not open."""

    def __init__(
        self,
        client: SourceClient,
        db: str,
        target: str,
        *,
        batch_size: int,
        wait_ms: int | None = None,
        member: Member = PRIMARY,
    ) -> None:
        self._client = client
        self._member = member
        self._database = client.get_database(db)
        self._target = target
        self.batch_size = batch_size
        """How many documents or events the next reply holds at most."""
        self._waiting: BsonDocument = {} if wait_ms is None else {"maxTimeMS": wait_ms}
        self._session: ClientSession | None = None
        self.id = 0

    @property
    def alive(self) -> bool:
        """Whether the server will answer more."""
        return self.id != 0

    def next(self) -> CursorReply:
        """Answer what comes next, maybe nothing. Raises PyMongoError."""
        return self._ask(
            {"getMore": Int64(self.id), "collection": self._target, "batchSize": self.batch_size, **self._waiting},
            "nextBatch",
        )

    def close(self) -> None:
        """Free the cursor on the server, if that can be done; a server forgets it after some minutes anyway."""
        cursor, self.id = self.id, 0
        session, self._session = self._session, None
        if session is None:
            return
        try:
            if cursor:
                self._send({"killCursors": self._target, "cursors": [Int64(cursor)]}, session)
        except PyMongoError:
            pass
        finally:
            session.end_session()

    def _begin(self, command: BsonDocument) -> CursorReply:
        self._session = self._client.start_session(causal_consistency=False)
        return self._ask(command, "firstBatch")

    def _send(self, command: BsonDocument, session: ClientSession | None) -> bytes:
        member = self._member
        return self._database.command(command, read_preference=member, codec_options=RAW, session=session).raw

    def _ask(self, command: BsonDocument, batch: str) -> CursorReply:
        raw = self._send(command, self._session)
        envelope, array = taken_apart(raw, batch)
        cursor, bounds = envelope["cursor"], bounds_of(array)
        self.id = cursor["id"]
        full = len(bounds) > self.batch_size or len(raw) > _FULL_BYTES
        return CursorReply(
            array,
            bounds,
            cursor.get("postBatchResumeToken"),
            time_of(envelope),
            newest_time_of(envelope),
            len(raw),
            full,
        )


class ChangeCursor(_Cursor):
    """A change stream of a database, or of one collection. An invalidate event ends it."""

    def __init__(
        self,
        client: SourceClient,
        db: str,
        coll: str | None,
        *,
        batch_size: int,
        wait_ms: int,
        member: Member = PRIMARY,
    ) -> None:
        super().__init__(client, db, coll or "$cmd.aggregate", batch_size=batch_size, wait_ms=wait_ms, member=member)
        self._aggregate = coll or 1

    def open(self, pipeline: Sequence[BsonDocument]) -> CursorReply:
        """Open it, at once: the reply holds no event, which may take the server long to find. Raises PyMongoError."""
        return self._begin({"aggregate": self._aggregate, "pipeline": list(pipeline), "cursor": {"batchSize": 0}})


class FindCursor(_Cursor):
    """What a collection holds, of what the majority has, from the primary."""

    def open(self, wanted: BsonDocument, *, limit: int) -> CursorReply:
        """Ask for documents in the order of their ids; a `limit` of 0 is none. Raises PyMongoError."""
        return self._begin(
            {
                "find": self._target,
                "filter": wanted,
                "sort": {"_id": 1},
                **({"limit": limit} if limit else {}),
                "batchSize": self.batch_size,
                "readConcern": {"level": "majority"},
            }
        )


def taken_apart(raw: bytes, batch: str) -> tuple[BsonDocument, bytes]:
    """Answer a reply whose batch is empty, and the raw array of the batch."""
    envelope = dict(RawBSONDocument(raw))
    cursor = envelope["cursor"].raw
    start = cursor.index(b"\x04%b\0" % batch.encode()) + len(batch) + 2
    end = start + int.from_bytes(cursor[start : start + 4], "little")
    around = cursor[4:start] + _EMPTY_ARRAY + cursor[end:]
    envelope["cursor"] = bson.decode((len(around) + 4).to_bytes(4, "little") + around, CODEC)
    return envelope, cursor[start:end]


def bounds_of(array: bytes) -> list[int]:
    """Where the first element of a raw array of documents begins, and where each ends.

    An element is the document after its type, its name and a zero byte.
    """
    at, end = 4, len(array) - 1
    bounds = [at]
    while at < end:
        at = array.index(0, at) + 1
        at += _SIZE(array, at)[0]
        bounds.append(at)
    return bounds


def decoded(piece: bytes) -> list[BsonDocument]:
    """The documents of a piece, with exact ids. Raises InvalidBSON when one of them is damaged."""
    documents: list[BsonDocument] = bson.decode(piece, CODEC)[""]
    give_exact_ids(documents, lambda: bson.decode(piece, OF_IDS)[""])
    return documents


def give_exact_ids(documents: Sequence[BsonDocument], read: Callable[[], Sequence[BsonDocument]]) -> None:
    """Give the documents their `_id` with all of its bytes; `read` decodes them once more, with OF_IDS, if need be."""
    if may_have_bytes([each.get("_id") for each in documents]):
        for document, exact in zip(documents, read(), strict=True):
            document["_id"] = exact["_id"]


def undecoded(piece: bytes) -> list[bytes]:
    """The documents of a piece, raw."""
    array = piece[_BEFORE_ARRAY:-1]
    return [array[array.index(0, first) + 1 : end] for first, end in pairwise(bounds_of(array))]


def events_in(piece: bytes) -> list[BsonDocument]:
    """The events of a piece; one that is damaged spoils no other."""
    try:
        events: list[BsonDocument] = bson.decode(piece, CODEC)[""]
    except InvalidBSON:
        return list(map(event_of, undecoded(piece)))
    if may_have_bytes([each["documentKey"].get("_id") for each in events if "documentKey" in each]):
        for event, exact in zip(events, bson.decode(piece, OF_IDS)[""], strict=True):
            _give_exact_key(event, exact.get("documentKey"))
    return events


def _give_exact_key(event: BsonDocument, key: BsonDocument | None) -> None:
    if key:
        event["documentKey"] = key
        if isinstance(document := event.get("fullDocument"), dict):
            document["_id"] = key["_id"]


def event_of(raw: bytes) -> BsonDocument:
    """Decode one event; where that fails, all but its document."""
    try:
        event = bson.decode(raw, CODEC)
    except InvalidBSON as error:
        event = dict(RawBSONDocument(raw))
        for name in ("_id", "ns", "to", "documentKey"):
            if name in event:
                event[name] = bson.decode(event[name].raw, OF_IDS)
        event["fullDocument"] = Undecodable(f"the document cannot be decoded: {error}")
    else:
        _give_exact_key(event, bson.decode(raw, OF_IDS).get("documentKey"))
    return event
