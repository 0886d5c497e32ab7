"""Events of a change stream whose documents are cut out, and never decoded.

Decoding a document is most of what an event costs. Where nobody looks into it, document and key are cut out of the raw
event, and the rest of many events is decoded together.
"""

from collections.abc import Collection, Sequence
from struct import Struct
from typing import Final

import bson
from bson.errors import InvalidBSON

from penstock.model import BsonDocument, Change, Names, Namespace
from penstock.mongo.codec import CODEC
from penstock.mongo.cursor import CursorReply, undecoded
from penstock.mongo.events import CONTROL_KINDS, STATES, EventReader

_SIZE = Struct("<i").unpack_from
_FIXED: Final = {
    0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0,
}  # fmt: skip
"""The bytes of values by their types, where all of a type are as long."""
_AROUND: Final = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
"""The others begin with a length, which leaves out so many bytes."""
_REGEX: Final = 0x0B
_DOCUMENT: Final = 0x03
_FIRST: Final = 4
"""Where the first element of a document begins."""


def raw_events_in(piece: bytes) -> list[BsonDocument]:
    """The events of a piece, with `fullDocument` and `documentKey` as they are: raw. Raises InvalidBSON."""
    rests, cut = bytearray(), []
    for raw in undecoded(piece):
        rest, key, document = _cut(raw)
        rests += b"\x03\0" + rest
        cut.append((key, document))
    array = (len(rests) + 5).to_bytes(4, "little") + rests + b"\0"
    events: list[BsonDocument] = bson.decode((len(array) + 7).to_bytes(4, "little") + b"\x04\0" + array + b"\0", CODEC)[
        ""
    ]
    for event, (key, document) in zip(events, cut, strict=True):
        event["documentKey"], event["fullDocument"] = key, document
    return events


def raw_events_of(reply: CursorReply) -> list[BsonDocument]:
    """All events of a reply."""
    return [event for piece in reply.pieces() for event in raw_events_in(piece)]


def _cut(raw: bytes) -> tuple[bytes, bytes | None, bytes | None]:
    """Return an event without its key and its document, and both, where it has them."""
    at, end = _FIRST, len(raw) - 1
    kept_from = at
    kept, key, document = b"", None, None
    while at < end:
        kind = raw[at]
        value = raw.index(0, at + 1) + 1
        after = _end(raw, kind, value)
        name = raw[at + 1 : value - 1]
        if name == b"fullDocument":
            kept += raw[kept_from:at]
            kept_from = after
            document = raw[value:after] if kind == _DOCUMENT else None
        elif name == b"documentKey":
            kept += raw[kept_from:at]
            kept_from = after
            key = raw[value:after]
        at = after
    kept += raw[kept_from:]
    return (len(kept) + 4).to_bytes(4, "little") + kept, key, document


def _end(raw: bytes, kind: int, at: int) -> int:
    """Return where a value ends. Raises InvalidBSON."""
    around = _AROUND.get(kind)
    if around is not None:
        size: int = _SIZE(raw, at)[0]
        return at + size + around
    if kind == _REGEX:
        return raw.index(0, raw.index(0, at) + 1) + 1
    try:
        return at + _FIXED[kind]
    except KeyError:
        raise InvalidBSON(f"an event has an element of the unknown type {kind:#x}") from None


def id_alone(key: bytes) -> bytes:
    """Return `{_id: ...}` of a `documentKey`, to which a sharded collection adds the fields of its shard key."""
    if key[_FIRST + 1 : _FIRST + 5] == b"_id\0" and _end(key, key[_FIRST], _FIRST + 5) == len(key) - 1:
        return key
    at = _FIRST
    while at < len(key) - 1:
        value = key.index(0, at + 1) + 1
        after = _end(key, key[at], value)
        if key[at + 1 : value - 1] == b"_id":
            return (after - at + 5).to_bytes(4, "little") + key[at:after] + b"\0"
        at = after
    raise InvalidBSON("the key of an event has no _id")


class RawEvents:
    """Turns events of one database into changes whose `id` is the BSON `{_id: ...}`, and whose document is BSON.

    A change of a document that comes without it is `unresolved`. The `id` of a control change is the token after it.
    `left_out` counts the events that are of no collection of `colls`, or of no kind that says something of a document.
    """

    def __init__(self, db: str, colls: Collection[str], renamed: Sequence[Names] = ()) -> None:
        self._names = EventReader(db, colls, lambda _: "unresolved", renamed)
        self._captured = frozenset(Namespace(db, coll) for coll in colls)
        self.left_out = 0

    def changes(self, events: Sequence[BsonDocument], _missing: object = None) -> list[Change]:
        """Answer the changes, in order."""
        changes: list[Change] = []
        names, captured = self._names, self._captured
        for event in events:
            operation = event["operationType"]
            time = event["clusterTime"]
            version = (time.time << 32) | time.inc
            if operation in STATES or operation == "delete":
                namespace = names.namespace(event["ns"]["coll"], version)
                if namespace not in captured:
                    self.left_out += 1
                    continue
                assert namespace is not None
                key, document = id_alone(event["documentKey"]), event["fullDocument"]
                if operation == "delete":
                    changes.append(Change(namespace, "delete", version, key))
                elif document is None:
                    changes.append(Change(namespace, "unresolved", version, key))
                else:
                    changes.append(Change(namespace, "upsert", version, key, document))
            elif operation in CONTROL_KINDS and (change := names.control(event, version)):
                changes.append(change._replace(id=event["_id"]))
            else:
                self.left_out += 1
        return changes
