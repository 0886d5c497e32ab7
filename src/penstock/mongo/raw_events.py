"""Events of a change stream whose documents are cut out, and never decoded.

Decoding a document is most of what an event costs. Where nobody looks into it, key and document are cut out of the raw
event. Nor is the rest decoded again and again: of events of one kind and collection it differs by the time alone. The
first event of such a form is decoded; those that follow it are compared with its bytes.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from struct import Struct
from typing import Final, NamedTuple

import bson
from bson.errors import InvalidBSON

from penstock.model import BsonDocument, Change, Names, Namespace
from penstock.mongo.codec import CODEC
from penstock.mongo.cursor import CursorReply
from penstock.mongo.events import CONTROL_KINDS, STATES, EventReader

_SIZE = Struct("<i").unpack_from
_TIME = Struct("<Q").unpack_from
_FIXED: Final = {
    0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0,
}  # fmt: skip
"""The bytes of values by their types, where all of a type are as long."""
_AROUND: Final = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
"""The others begin with a length, which leaves out this number of bytes."""
_REGEX: Final = 0x0B
_DOCUMENT: Final = 0x03
_FIRST: Final = 4
"""Where the first element of a document begins."""

_TOKEN, _DOC, _KEY, _CLUSTER_TIME, _SKIPPED = range(5)
_VARYING: Final = {
    (b"_id", 0x03): _TOKEN,
    (b"fullDocument", 0x03): _DOC,
    (b"documentKey", 0x03): _KEY,
    (b"clusterTime", 0x11): _CLUSTER_TIME,
    (b"wallTime", 0x09): _SKIPPED,
    (b"txnNumber", 0x12): _SKIPPED,
}
"""What differs among events of one form: four things that are wanted, and what fills 8 bytes."""
_MOST_FORMS: Final = 16


class RawEvent(NamedTuple):
    """One event. `key` and `document` are raw, None where it has none; `rest` is the others, decoded.

    Of `rest` only the kind and the names may be looked at: it is that of the first event of the same form.
    """

    raw: bytes
    version: int
    key: bytes | None
    document: bytes | None
    rest: BsonDocument

    @property
    def token(self) -> BsonDocument:
        """The resume token after it."""
        token: BsonDocument = bson.decode(self.raw, CODEC)["_id"]
        return token


class _Form(NamedTuple):
    """How the events of one kind and collection are laid out: bytes that are the same, each before what differs."""

    parts: tuple[tuple[bytes, int, int], ...]
    end: bytes
    rest: BsonDocument

    def read(self, raw: bytes) -> RawEvent | None:
        """Return an event of this form, None where it has another."""
        at, version, key, document = _FIRST, 0, None, None
        for same, size, what in self.parts:
            if not raw.startswith(same, at):
                return None
            at += size
            if what <= _KEY:
                after = at + _SIZE(raw, at)[0]
                if what == _DOC:
                    document = raw[at:after]
                elif what == _KEY:
                    key = raw[at:after]
                at = after
            else:
                if what == _CLUSTER_TIME:
                    (version,) = _TIME(raw, at)
                at += 8
        return RawEvent(raw, version, key, document, self.rest) if raw[at:] == self.end else None


class RawEventReader:
    """Reads events; it remembers the forms that it has met."""

    def __init__(self) -> None:
        self._forms: list[_Form] = []

    def events_of(self, reply: CursorReply) -> list[RawEvent]:
        """All events of a reply. Raises InvalidBSON."""
        array, read = reply.batch, self._read
        return [read(array[array.index(0, first) + 1 : end]) for first, end in pairwise(reply.bounds)]

    def _read(self, raw: bytes) -> RawEvent:
        for place, form in enumerate(self._forms):
            if event := form.read(raw):
                if place:  # the next event is likely to be like this one
                    self._forms.insert(0, self._forms.pop(place))
                return event
        form = _form_of(raw)
        event = form.read(raw)
        if event is None:
            raise InvalidBSON("an event cannot be taken apart")
        self._forms = [form, *self._forms[: _MOST_FORMS - 1]]
        return event


def _form_of(raw: bytes) -> _Form:
    """Take an event apart, element by element."""
    parts, at, end = [], _FIRST, len(raw) - 1
    same_from, rest = at, b""
    while at < end:
        kind = raw[at]
        value = raw.index(0, at + 1) + 1
        after = _end(raw, kind, value)
        what = _VARYING.get((raw[at + 1 : value - 1], kind))
        if what is None:
            rest += raw[at:after]
        else:
            parts.append((raw[same_from:value], value - same_from, what))
            same_from = after
        at = after
    decoded = bson.decode((len(rest) + 5).to_bytes(4, "little") + rest + b"\0", CODEC)
    return _Form(tuple(parts), raw[same_from:], decoded)


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
    if key.startswith(b"_id\0", _FIRST + 1) and _end(key, key[_FIRST], _FIRST + 5) == len(key) - 1:
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
        self.reader = RawEventReader()
        self.left_out = 0

    def changes(self, events: Sequence[RawEvent], _missing: object = None) -> list[Change]:
        """Answer the changes, in order."""
        changes: list[Change] = []
        names, captured, simple = self._names, self._captured, self._names.simple
        for event in events:
            _, version, key, document, rest = event
            operation = rest["operationType"]
            if key is not None and (operation in STATES or operation == "delete"):
                coll = rest["ns"]["coll"]
                namespace = simple.get(coll) or names.namespace(coll, version)
                if namespace is None or namespace not in captured:
                    self.left_out += 1
                elif operation == "delete":
                    changes.append(Change(namespace, "delete", version, id_alone(key)))
                elif document is None:
                    changes.append(Change(namespace, "unresolved", version, id_alone(key)))
                else:
                    # a document that is not decoded goes the way of one that is: the transform gets it
                    changes.append(Change(namespace, "upsert", version, id_alone(key), document))  # type: ignore[arg-type]
            elif operation in CONTROL_KINDS and (change := names.control(event.rest, version)):
                changes.append(change._replace(id=event.token))
            else:
                self.left_out += 1
        return changes
