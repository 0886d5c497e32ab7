"""The log: penstock's own topics, which capture writes and apply reads.

    PREFIX.DATABASE.COLLECTION    the changes of a collection
    PREFIX.DATABASE               the marks of the cursor on a database; one partition
    PREFIX.DATABASE..COLLECTION   the same of a cursor on one collection; no collection's name begins with a dot
    PREFIX..load.INDEX            the ranges of the load of an index; no database has an empty name

A change is a record whose key is the BSON `{_id: ...}` of the event's `documentKey` and whose value is the document's
BSON as the source sent it, or nothing for a delete, so that other consumers and compaction understand it. Its partition
is the one that Java's default partitioner chooses. Its time is the cluster time, and its headers are those below.

A mark is a record of capture: the position that the cursor has reached, and for every partition of the log the last
number and the end offset at that moment. The changes of a transaction and their mark become visible together. A
collection is in the log from the first mark on that has its topic's id.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Self

from penstock.kafka.positions import Partition
from penstock.model import CONTROL, Change, Kind, Namespace, Position
from penstock.settings import Settings

PARTITIONER = "murmur2_random"
"""Java's default partitioner, as librdkafka calls it."""

LogKind = Literal["upsert", "delete", "unresolved"]
"""`unresolved`: a document that the topic does not take, or an event without it; apply reads it from the source."""

_VERSION, _KIND, _NUMBER = "v", "k", "n"
_NUMBER_BYTES = 8
_KINDS: Final[Mapping[LogKind, tuple[str, bytes]]] = {
    "upsert": (_KIND, b"upsert"), "delete": (_KIND, b"delete"), "unresolved": (_KIND, b"unresolved"),
}  # fmt: skip
_NO_TOPIC = re.compile(r"[^a-zA-Z0-9._-]")
_MAX_TOPIC = 249


class Numbered(NamedTuple):
    """What the headers of a change say. `number` rises by one within a partition, from 1 on."""

    kind: LogKind
    version: int
    number: int


class NoHeaders(ValueError):
    """The record was not written by capture; the message says what it lacks."""


def topic_of(prefix: str, namespace: Namespace) -> str:
    """Return the topic that holds the changes of a collection, by the name that the settings give it."""
    return f"{prefix}.{namespace.db}.{namespace.coll}"


def name_problem(topic: str) -> str:
    """Say why Kafka does not take a topic's name, nothing where it does."""
    if len(topic) > _MAX_TOPIC:
        return f"is {len(topic)} characters long, and Kafka takes at most {_MAX_TOPIC}"
    if _NO_TOPIC.search(topic):
        return "has characters that Kafka does not take: only ASCII letters, digits, `.`, `_` and `-`"
    return ""


def marks_topic_of(prefix: str, db: str, own: str | None = None) -> str:
    """Return the topic that holds the marks of the cursor on a database, or of the one on its collection `own`."""
    return f"{prefix}.{db}" if own is None else f"{prefix}.{db}..{own}"


def marks_topic_for(settings: Settings, namespace: Namespace) -> str:
    """Return the topic that holds the marks of the cursor which captures a collection."""
    own = namespace.coll if settings.source.cursor_per == "collection" else None
    return marks_topic_of(settings.log.prefix, namespace.db, own)


def tasks_topic_of(prefix: str, index: str) -> str:
    """Return the topic that holds the ranges of the load of an index."""
    return f"{prefix}..load.{_NO_TOPIC.sub('_', index)}"[:_MAX_TOPIC]


def headers_of(change: Numbered) -> list[tuple[str, bytes]]:
    """Return the headers of a change."""
    return [
        (_VERSION, change.version.to_bytes(_NUMBER_BYTES)),
        _KINDS[change.kind],
        (_NUMBER, change.number.to_bytes(_NUMBER_BYTES)),
    ]


def numbered(headers: Sequence[tuple[str, bytes | None]] | None) -> Numbered:
    """Return what the headers of a record say. Raises NoHeaders."""
    found = dict(headers or ())
    version, kind, number = found.get(_VERSION), found.get(_KIND), found.get(_NUMBER)
    if version is None or number is None or len(version) != _NUMBER_BYTES or len(number) != _NUMBER_BYTES:
        raise NoHeaders("it has no version or no running number")
    match kind:
        case b"upsert" | b"delete" | b"unresolved":
            known: LogKind = kind.decode()  # type: ignore[assignment]  # one of the three
            return Numbered(known, int.from_bytes(version), int.from_bytes(number))
    raise NoHeaders("its kind is none that this version of penstock knows")


class End(NamedTuple):
    """The end of a partition: the number of its last change, and the offset after it."""

    number: int
    offset: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What a mark holds.

    `topics` has the id of each topic that is written. `control` is the control change that the mark stands for; an
    `invalidate` of a collection says that changes of it are missing before this mark. `names` has, for each collection
    of which renames were followed, the names since; `source` what is known of the source (`mongo.identity`).
    """

    position: Position
    ends: Mapping[Partition, End]
    topics: Mapping[str, str] = field(default_factory=dict)
    control: Change | None = None
    names: Mapping[Namespace, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> bytes:
        """The record's key: of marks with the same one, compaction keeps the last."""
        if (change := self.control) is None:
            return b"mark"
        return f"control/{change.version}/{change.kind}/{change.namespace}".encode()

    def encoded(self) -> bytes:
        """Return the mark as JSON."""
        ends: dict[str, dict[str, End]] = {}
        for partition, end in sorted(self.ends.items()):
            ends.setdefault(partition.topic, {})[str(partition.number)] = end
        mark: dict[str, Any] = {
            "token": self.position.token,
            "time": self.position.time,
            "ends": ends,
            "topics": dict(self.topics),
            "names": {str(declared): later for declared, later in self.names.items()},
            "source": dict(self.source),
        }
        if (change := self.control) is not None:
            mark["control"] = {"kind": change.kind, "namespace": str(change.namespace), "version": change.version}
            if change.to is not None:
                mark["control"]["to"] = str(change.to)
        return json.dumps(mark).encode()

    @classmethod
    def decoded(cls, text: bytes) -> Self:
        """Return the mark that `encoded` made the text of. Raises ValueError, KeyError for another text."""
        mark = json.loads(text)
        ends = {
            Partition(topic, int(number)): End(*end)
            for topic, its in mark["ends"].items()
            for number, end in its.items()
        }
        control = mark.get("control")
        return cls(
            Position(mark["token"], mark["time"]),
            ends,
            mark["topics"],
            _control(control) if control else None,
            {
                Namespace.named(declared): tuple((coll, since) for coll, since in later)
                for declared, later in mark["names"].items()
            },
            mark["source"],
        )


def _control(mark: Mapping[str, str | int]) -> Change:
    (kind,) = (each for each in CONTROL if each == mark["kind"])
    known: Kind = kind
    to = mark.get("to")
    return Change(
        Namespace.named(str(mark["namespace"])),
        known,
        int(mark["version"]),
        to=Namespace.named(str(to)) if to else None,
    )
