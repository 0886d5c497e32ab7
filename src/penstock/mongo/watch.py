"""What one cursor watches, and the aggregation pipeline that says so to the server."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from penstock.model import BsonDocument, Names, Namespace, Position
from penstock.mongo.position import resume_option

_DATABASE_EVENTS = ["rename", "dropDatabase", "invalidate"]

_PATTERN_CHARACTERS = frozenset("\\^$|?*+()[]{}")

_HIGHEST_VERSION = 2**63 - 1
"""No change has a higher version."""


@dataclass(frozen=True)
class Watch:
    """The collections of one database that one cursor watches; `own` names the only one, on a cursor of its own.

    All go by their declared names; `renamed` has those that go by others at the source, or have gone. `heartbeat` names
    a collection whose changes only move the position. `before_images`: events carry the document of before the change,
    where the source has kept it.
    """

    db: str
    colls: tuple[str, ...]
    own: str | None = None
    heartbeat: str | None = None
    renamed: tuple[Names, ...] = ()
    before_images: bool = False

    def __str__(self) -> str:
        return self.db if self.own is None else f"{self.db}.{self.own}"

    @property
    def first(self) -> Namespace:
        """One of the collections, by its name at the source."""
        return Namespace(self.db, self.carried(_HIGHEST_VERSION)[0])

    @property
    def names(self) -> str:
        """The collections, for messages."""
        return ", ".join(f"{self.db}.{coll}" for coll in self.colls)

    def carried(self, since: int) -> list[str]:
        """The names at the source that changes of this version or a later one may carry."""
        renamed = {each.declared.coll: each for each in self.renamed}
        names = (renamed[coll].carried(since) if coll in renamed else [coll] for coll in self.colls)
        return list(dict.fromkeys(name for each in names for name in each))

    def present(self, coll: str, version: int) -> str:
        """The name at the source now of what a change of this version calls so."""
        names = (each for each in self.renamed if each.at(version).coll == coll)
        return next((each.present.coll for each in names), coll)

    def target(self, position: Position | None) -> str | None:
        """The collection, by its name at the source there, that a cursor of its own is opened on at the position.

        None where the cursor is opened on the database. MongoDB 4.0 takes the name of a collection's own cursor as a
        pattern, so that a collection named like `a+b(c)` misses its events there.
        """
        if self.own is None:
            return None
        name = self.own
        for names in self.renamed:  # one at most
            name = (names.at(position.time) if position else names.present).coll
        return None if _PATTERN_CHARACTERS.intersection(name) else name

    def pipeline(self, position: Position | None, *, keys_only: bool = False) -> list[BsonDocument]:
        """The stages that begin at the position. `keys_only`: events without documents, which are never too large.

        What an update changed is never asked for: the document says it. All renames of the database come through, for
        their target may be a watched collection.
        """
        stream: dict[str, Any] = resume_option(position)
        if not keys_only:
            stream["fullDocument"] = "updateLookup"
            if self.before_images:
                stream["fullDocumentBeforeChange"] = "whenAvailable"
        stages: list[BsonDocument] = [{"$changeStream": stream}]
        if self.target(position) is None:
            names = self.carried(position.time if position else _HIGHEST_VERSION)
            seen = [*names, *([self.heartbeat] if self.heartbeat else ())]
            document_events = {"ns.coll": {"$in": seen}}
            stages.append({"$match": {"$or": [document_events, {"operationType": {"$in": _DATABASE_EVENTS}}]}})
        stages.append({"$project": {"updateDescription": 0} | ({"fullDocument": 0} if keys_only else {})})
        return stages


def watches(namespaces: Iterable[Namespace], cursor_per: Literal["database", "collection"]) -> list[Watch]:
    """Divide collections among cursors: one for each database, or one for each collection."""
    divided: list[Watch] = []
    for db, group in groupby(sorted(set(namespaces)), key=lambda namespace: namespace.db):
        colls = tuple(namespace.coll for namespace in group)
        if cursor_per == "database":
            divided.append(Watch(db, colls))
        else:
            divided += [Watch(db, (coll,), coll) for coll in colls]
    return divided
