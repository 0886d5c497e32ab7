"""Cursors by the server's own commands; their replies are taken apart without decoding the documents.

The driver's ChangeStream is not used: it gives one event at a time, resumes by rules that DocumentDB does not follow,
and hides the token of an idle reply. Its cursors of raw batches make an object of each document only to join them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import bson
from bson.codec_options import CodecOptions
from bson.errors import InvalidBSON
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from penstock.encode import CODEC
from penstock.mongo.connection import Client, Document, time_of

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

_EMPTY = b"\5\0\0\0\0"
"""An array of nothing."""

_PIECE_BYTES = 48 * 1024
"""Raw; decoded it takes some 5 times as much, and the level-two cache of a core holds 1 MB or 2."""

_FULL = 12 * 1024 * 1024
"""A reply above this was ended by its size (16 MB), not for want of events."""


class Reply(NamedTuple):
    """One answer of the server. `time` is its cluster time, `token` where an idle stream stands, if it says so.

    `documents` are raw: those of a find, or the events of a change stream; `size` is the reply's, in bytes.
    """

    documents: list[bytes]
    token: Document | None
    time: int
    size: int
    full: bool

    @property
    def events(self) -> list[Document]:
        """All documents, as events."""
        return events_of(self.documents)

    def pieces(self) -> Iterator[list[bytes]]:
        """Yield the documents, a few at a time: what is decoded from them then fits the cache of a processor core."""
        count = max(1, len(self.documents) * _PIECE_BYTES // self.size)
        for start in range(0, len(self.documents), count):
            yield self.documents[start : start + count]


class Undecodable(NamedTuple):
    """Stands where a document should be that cannot be decoded."""

    reason: str


class _Cursor:
    """A cursor must be closed, for DocumentDB allows few. Used by one thread; `id` is 0 when it is not open."""

    def __init__(self, client: Client, db: str, target: str, *, batch_size: int, wait_ms: int | None = None) -> None:
        self._client = client
        self._database = client.get_database(db)
        self._target = target
        self._batch_size = batch_size
        self._waiting: Document = {} if wait_ms is None else {"maxTimeMS": wait_ms}
        self._session: ClientSession | None = None
        self.id = 0

    @property
    def alive(self) -> bool:
        """Whether the server will answer more."""
        return self.id != 0

    def next(self) -> Reply:
        """Answer what comes next, maybe nothing. Raises PyMongoError."""
        return self._ask(
            {"getMore": Int64(self.id), "collection": self._target, "batchSize": self._batch_size, **self._waiting},
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
                self._database.command({"killCursors": self._target, "cursors": [Int64(cursor)]}, session=session)
        except PyMongoError:
            pass
        finally:
            session.end_session()

    def _begin(self, command: Document) -> Reply:
        self._session = self._client.start_session(causal_consistency=False)
        return self._ask(command, "firstBatch")

    def _ask(self, command: Document, batch: str) -> Reply:
        raw = self._database.command(command, codec_options=_RAW, session=self._session).raw
        reply, documents = taken_apart(raw, batch)
        cursor = reply["cursor"]
        self.id = cursor["id"]
        full = len(documents) >= self._batch_size or len(raw) > _FULL
        return Reply(documents, cursor.get("postBatchResumeToken"), time_of(reply), len(raw), full)


class ChangeCursor(_Cursor):
    """A change stream of a database, or of one collection. An invalidate event ends it."""

    def __init__(self, client: Client, db: str, coll: str | None, *, batch_size: int, wait_ms: int) -> None:
        super().__init__(client, db, coll or "$cmd.aggregate", batch_size=batch_size, wait_ms=wait_ms)
        self._aggregate = coll or 1

    def open(self, pipeline: Sequence[Document]) -> Reply:
        """Open it and answer what is there at once. Raises PyMongoError."""
        return self._begin(
            {
                "aggregate": self._aggregate,
                "pipeline": list(pipeline),
                "cursor": {"batchSize": self._batch_size},
            }
        )


class FindCursor(_Cursor):
    """What a collection holds, of what the majority has, from the primary."""

    def open(self, wanted: Document, *, limit: int) -> Reply:
        """Ask for documents in the order of their ids; a `limit` of 0 is none. Raises PyMongoError."""
        return self._begin(
            {
                "find": self._target,
                "filter": wanted,
                "sort": {"_id": 1},
                **({"limit": limit} if limit else {}),
                "batchSize": self._batch_size,
                "readConcern": {"level": "majority"},
            }
        )


def taken_apart(raw: bytes, batch: str) -> tuple[Document, list[bytes]]:
    """Answer a reply whose batch is empty, and the raw documents of the batch.

    The array in a cursor's reply holds nothing but documents, each after its type, its name and a zero byte.
    """
    envelope = dict(RawBSONDocument(raw))
    cursor = envelope["cursor"].raw
    start = cursor.index(b"\x04%b\0" % batch.encode()) + len(batch) + 2
    end = start + int.from_bytes(cursor[start : start + 4], "little")
    documents = []
    at = start + 4
    while at < end - 1:
        at = cursor.index(b"\0", at) + 1
        after = at + int.from_bytes(cursor[at : at + 4], "little")
        documents.append(cursor[at:after])
        at = after
    around = cursor[4:start] + _EMPTY + cursor[end:]
    envelope["cursor"] = bson.decode((len(around) + 4).to_bytes(4, "little") + around, CODEC)
    return envelope, documents


def events_of(documents: Sequence[bytes]) -> list[Document]:
    """Decode events; one that is damaged spoils no other."""
    try:
        return bson.decode_all(b"".join(documents), CODEC)
    except InvalidBSON:
        return list(map(event_of, documents))


def event_of(raw: bytes) -> Document:
    """Decode one event; where that fails, all but its document."""
    try:
        return bson.decode(raw, CODEC)
    except InvalidBSON as error:
        event = dict(RawBSONDocument(raw))
        for name in ("_id", "ns", "to", "documentKey"):
            if name in event:
                event[name] = bson.decode(event[name].raw, CODEC)
        event["fullDocument"] = Undecodable(f"the document cannot be decoded: {error}")
        return event
