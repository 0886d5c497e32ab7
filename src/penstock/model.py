"""The values that flow: changes from a source, writes to a sink, outcomes back.

    Change              what a source decoded: a change with its document
    TransformedChange   the same once the transform, inside the source, has made the body
    Batch               transformed changes, with the position reached after them
    Write               what the index must do for one document: changes are folded into it
    Outcome             what the sink made of a write
    Position            becomes the checkpoint once everything before it is safe

Many rows at once are taken apart and made by the names of their fields: `ChangeColumns.of(changes).kinds`, `in_rows`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import repeat
from typing import Any, Literal, NamedTuple, Self, TypeVar

from penstock.errors import DocumentError

BsonDocument = dict[str, Any]
"""A document as it was decoded, with values of BSON."""

Row = TypeVar("Row", bound=NamedTuple)

Kind = Literal["upsert", "delete", "unreadable", "unresolved", "gone", "drop", "rename", "drop_database", "invalidate"]
"""What happened. `upsert` carries the document's state, `unreadable` the reason why it has none (a dead letter).
`unresolved`: the document's present state is still to be looked up, which comes before any write (`mongo.lookup`).
`gone`: the document's collection is gone, so that its state cannot be known and there is nothing to write.
`drop`, `rename`, `drop_database` and `invalidate` speak of whole collections and are called control changes."""

CONTROL: frozenset[Kind] = frozenset({"drop", "rename", "drop_database", "invalidate"})


def version_of(seconds: int, increment: int) -> int:
    """A cluster time as one integer; fits a signed 64-bit number until 2038 by the source's own 32-bit seconds."""
    return (seconds << 32) | increment


def seconds_of(version: int) -> int:
    """The Unix time, in whole seconds, of a version."""
    return version >> 32


class Namespace(NamedTuple):
    """A collection's full name; `coll` is empty where a change speaks of the whole database."""

    db: str
    coll: str

    @classmethod
    def named(cls, name: str) -> "Namespace":
        """The namespace of `database.collection`, or of a database alone; the collection may hold further dots."""
        db, _, coll = name.partition(".")
        return cls(db, coll)

    def __str__(self) -> str:
        return f"{self.db}.{self.coll}" if self.coll else self.db


@dataclass(frozen=True, slots=True)
class Names:
    """The names that one collection has had at the source, as far as its renames were followed.

    `declared` is the one by which people speak of it; `later` are those since, each with the version of the change that
    gave it. A change belongs to the name the collection had at its version, no matter when the change arrives.
    """

    declared: Namespace
    later: tuple[tuple[str, int], ...] = ()

    @property
    def present(self) -> Namespace:
        """The name by which the source knows it now."""
        return Namespace(self.declared.db, self.later[-1][0]) if self.later else self.declared

    @property
    def since(self) -> int:
        """The version of the change that gave the present name, 0 when none did."""
        return self.later[-1][1] if self.later else 0

    def at(self, version: int) -> Namespace:
        """The name in a change of this version; a rename still carries the name before."""
        names = (coll for coll, since in reversed(self.later) if since < version)
        return Namespace(self.declared.db, next(names, self.declared.coll))

    def carried(self, since: int) -> list[str]:
        """The names, without the database, that changes of this version or a later one may carry, each once."""
        later = (coll for coll, version in self.later if version >= since)
        return list(dict.fromkeys([self.at(since).coll, *later]))


@dataclass(frozen=True, slots=True)
class Position:
    """Where a cursor stands in the source's order.

    `token` is opaque text that the source made and only the source reads; `time` is the cluster time there, in the
    form of a version (0 when the source has none). `source_time` is the source's own time when it answered with this
    position, and 0 where an idle position does not tell how far the answer reached; it is not saved.
    """

    token: str
    time: int
    source_time: int = field(default=0, compare=False)

    @property
    def behind_s(self) -> int:
        """How many seconds the position is behind the source; 0 where it does not tell."""
        return max(0, seconds_of(self.source_time) - seconds_of(self.time)) if self.source_time else 0


class Change(NamedTuple):
    """One change of one document, or a control change of a collection, as a source decoded it.

    `id` is the stored `_id` as a BSON value; `document` the whole document at or after the change, `_id` included,
    for an `upsert` only. `to` is a rename's new name. `reason` says why an `unreadable` change has no document.
    """

    namespace: Namespace
    kind: Kind
    version: int
    id: Any = None
    document: BsonDocument | None = None
    to: Namespace | None = None
    reason: str = ""


Body = bytes | DocumentError | None
"""What a transform made of a document: None where it left it out, the error where it refused it."""

CollectionTransform = Callable[[Sequence[BsonDocument]], Sequence[Body]]
"""Makes the bodies of documents of one collection, which it uses up."""

SourceTransform = Callable[[Namespace, Sequence[BsonDocument]], Sequence[Body]]
"""The same for all collections of a source, by their names (`penstock.pipeline.transform`)."""


class TransformedChange(NamedTuple):
    """A change that the transform has seen, and the only kind that a batch holds: no pipeline takes a document.

    `body` is what the transform made of an upsert's document, or the error that says why an `unreadable` one has none.
    """

    namespace: Namespace
    kind: Kind
    version: int
    id: Any = None
    body: Body = None
    to: Namespace | None = None


@dataclass(slots=True)
class Batch:
    """Changes in the source's order, with the position reached after the last of them.

    `changes` may be empty: an idle source still moves its position. `bytes` is their size as read. `read_at` is when
    the source was asked for the first of them (time.monotonic). `more` says that the source holds the next changes
    ready: it is better to wait for them than to send this one alone. `events` is how many events the source answered
    with, `left_out` how many of these are no changes for us; 0 where nobody wants to know. `whole`: what comes next is
    not joined to it.
    """

    changes: list[TransformedChange]
    position: Position
    read_at: float
    bytes: int = 0
    more: bool = False
    events: int = 0
    left_out: int = 0
    whole: bool = False


class Write(NamedTuple):
    """What the index must do for one document: index `body` (JSON), or delete when there is none.

    `alias` is the write alias of the generation, `id` the document id (`penstock.documents.document_id`).
    """

    alias: str
    id: str
    version: int
    body: bytes | None


class Refusal(NamedTuple):
    """The index refused the document for good: `status` and the reason in its own words, never the body."""

    status: int
    reason: str


WRITTEN: Literal["written"] = "written"
SUPERSEDED: Literal["superseded"] = "superseded"
Outcome = Literal["written", "superseded"] | Refusal
"""What became of one write. Superseded: the index already holds a newer state. Deleting what is absent is written."""


class Letter(NamedTuple):
    """A dead letter: a document that cannot be indexed, kept until it is replayed or dropped.

    There is one letter for a document (`namespace` and `id`): a later one replaces it. `id_json` is the `_id` as
    canonical extended JSON, so that it can be read back; `body` is what the index refused (the store keeps at most
    8 KiB of it).
    """

    namespace: Namespace
    alias: str
    id: str
    id_json: str
    version: int
    position: Position
    reason: str
    body: bytes | None = None


@dataclass(slots=True)
class Counts:
    """What became of the changes that were read; they balance when `lost` is 0."""

    read: int = 0
    written: int = 0
    folded: int = 0
    superseded: int = 0
    filtered: int = 0
    dead_lettered: int = 0
    control: int = 0

    @property
    def lost(self) -> int:
        """Changes that were read and not accounted for: anything but 0 stops the pipeline."""
        known = self.written + self.folded + self.superseded + self.filtered + self.dead_lettered + self.control
        return self.read - known

    def add(self, other: "Counts") -> None:
        """Add the other counts to these."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class ChangeColumns(NamedTuple):
    """Changes taken apart: one column for each field, in the fields' order."""

    namespaces: Sequence[Namespace]
    kinds: Sequence[Kind]
    versions: Sequence[int]
    ids: Sequence[Any]
    documents: Sequence[BsonDocument | None]
    targets: Sequence[Namespace | None]
    reasons: Sequence[str]

    @classmethod
    def of(cls, changes: Sequence[Change]) -> Self:
        """Take changes apart, at least one."""
        return cls(*zip(*changes, strict=True))


class TransformedColumns(NamedTuple):
    """Transformed changes taken apart: one column for each field, in the fields' order."""

    namespaces: Sequence[Namespace]
    kinds: Sequence[Kind]
    versions: Sequence[int]
    ids: Sequence[Any]
    bodies: Sequence[Body]
    targets: Sequence[Namespace | None]

    @classmethod
    def of(cls, changes: Sequence[TransformedChange]) -> Self:
        """Take changes apart, at least one. Raises TypeError for those that no transform has seen."""
        return cls(*zip(*changes, strict=True))


class WriteColumns(NamedTuple):
    """Writes taken apart: one column for each field, in the fields' order."""

    aliases: Sequence[str]
    ids: Sequence[str]
    versions: Sequence[int]
    bodies: Sequence[bytes | None]

    @classmethod
    def of(cls, writes: Sequence[Write]) -> Self:
        """Take writes apart, at least one."""
        return cls(*zip(*writes, strict=True))


def in_rows(row: type[Row], /, **columns: Iterable[Any]) -> list[Row]:
    """Make named tuples from columns that bear the names of their fields; a field without a column has its default.

    There are as many as the shortest column has values, so a column may be endless. Quicker than calling the type, or
    its `_make`, for each. Raises KeyError for a field that has neither column nor default, TypeError for a column that
    is no field's.
    """
    by_field = _default_columns(row) | columns
    if len(by_field) > len(row._fields):
        raise TypeError(f"{row.__name__} has no fields {sorted(columns.keys() - set(row._fields))}")
    return list(map(partial(tuple.__new__, row), zip(*map(by_field.__getitem__, row._fields), strict=False)))


@cache
def _default_columns(row: type[NamedTuple]) -> dict[str, Iterable[Any]]:
    return {name: repeat(value) for name, value in row._field_defaults.items()}


def of_one_collection(namespaces: Sequence[Namespace]) -> bool:
    """Whether all these names, at least one, are the same."""
    return namespaces.count(namespaces[0]) == len(namespaces)
