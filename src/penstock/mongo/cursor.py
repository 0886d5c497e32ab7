"""One change stream cursor, by the server's own commands.

The driver's ChangeStream is not used: it gives one event at a time, resumes by rules that DocumentDB does not follow,
and hides the token of an idle reply.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

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

_FULL = 12 * 1024 * 1024
"""A reply above this was ended by its size (16 MB), not for want of events."""


class Reply(NamedTuple):
    """One answer of the server. `time` is its cluster time, `token` where an idle stream stands, if it says so."""

    events: list[Document]
    token: Document | None
    time: int
    bytes: int
    full: bool


class Undecodable(NamedTuple):
    """Stands where a document should be that cannot be decoded."""

    reason: str


class ChangeCursor:
    """An open cursor; must be closed, for DocumentDB allows few. Used by one thread; `id` is 0 when it is not open."""

    def __init__(self, client: Client, db: str, coll: str | None, *, batch_size: int, wait_ms: int) -> None:
        self._client = client
        self._database = client.get_database(db)
        self._target = coll
        self._batch_size = batch_size
        self._wait_ms = wait_ms
        self._session: ClientSession | None = None
        self.id = 0

    @property
    def alive(self) -> bool:
        """Whether the server will answer more; an invalidate event ends a cursor."""
        return self.id != 0

    def open(self, pipeline: Sequence[Document]) -> Reply:
        """Open it and answer what is there at once. Raises PyMongoError."""
        self._session = self._client.start_session(causal_consistency=False)
        return self._ask(
            {
                "aggregate": 1 if self._target is None else self._target,
                "pipeline": list(pipeline),
                "cursor": {"batchSize": self._batch_size},
            },
            "firstBatch",
        )

    def next(self) -> Reply:
        """Answer what comes next, after a second at the most, maybe nothing. Raises PyMongoError."""
        return self._ask(
            {
                "getMore": Int64(self.id),
                "collection": "$cmd.aggregate" if self._target is None else self._target,
                "batchSize": self._batch_size,
                "maxTimeMS": self._wait_ms,
            },
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
                name = "$cmd.aggregate" if self._target is None else self._target
                self._database.command({"killCursors": name, "cursors": [Int64(cursor)]}, session=session)
        except PyMongoError:
            pass
        finally:
            session.end_session()

    def _ask(self, command: Document, batch: str) -> Reply:
        raw = self._database.command(command, codec_options=_RAW, session=self._session).raw
        reply, events = _decoded(raw, batch)
        cursor = reply["cursor"]
        self.id = cursor["id"]
        full = len(events) >= self._batch_size or len(raw) > _FULL
        return Reply(events, cursor.get("postBatchResumeToken"), time_of(reply), len(raw), full)


def _decoded(raw: bytes, batch: str) -> tuple[Document, list[Document]]:
    try:
        reply = bson.decode(raw, CODEC)
    except InvalidBSON:
        return _decoded_one_by_one(raw, batch)
    return reply, reply["cursor"][batch]


def _decoded_one_by_one(raw: bytes, batch: str) -> tuple[Document, list[Document]]:
    """Decode a reply that holds a damaged event: the others stay what they are."""
    reply: dict[str, Any] = dict(RawBSONDocument(raw))
    reply["cursor"] = dict(reply["cursor"])
    return reply, [event_of(each.raw) for each in reply["cursor"][batch]]


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
