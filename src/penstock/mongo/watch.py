"""What one cursor watches, and the aggregation pipeline that says so to the server."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from penstock.change import Namespace, Position
from penstock.mongo.connection import Document
from penstock.mongo.position import resume_option

_OF_DATABASES = ["rename", "dropDatabase", "invalidate"]


@dataclass(frozen=True)
class Watch:
    """The collections of one database that one cursor watches; `own` names the only one, on a cursor of its own.

    `heartbeat` names a collection whose changes only move the position.
    """

    db: str
    colls: tuple[str, ...]
    own: str | None = None
    heartbeat: str | None = None

    def __str__(self) -> str:
        return self.db if self.own is None else f"{self.db}.{self.own}"

    @property
    def first(self) -> Namespace:
        """One of the collections."""
        return Namespace(self.db, self.colls[0])

    @property
    def names(self) -> str:
        """The collections, for messages."""
        return ", ".join(f"{self.db}.{coll}" for coll in self.colls)

    def pipeline(self, position: Position | None, *, keys_only: bool = False) -> list[Document]:
        """The stages that begin at the position. `keys_only`: events without documents, which are never too large.

        What an update changed is never asked for: the document says it. All renames of the database come through, for
        their target may be a watched collection.
        """
        stream: dict[str, Any] = resume_option(position)
        if not keys_only:
            stream["fullDocument"] = "updateLookup"
        stages: list[Document] = [{"$changeStream": stream}]
        if self.own is None:
            seen = [*self.colls, *([self.heartbeat] if self.heartbeat else ())]
            of_documents = {"ns.coll": {"$in": seen}}
            stages.append({"$match": {"$or": [of_documents, {"operationType": {"$in": _OF_DATABASES}}]}})
        stages.append({"$project": {"updateDescription": 0} | ({"fullDocument": 0} if keys_only else {})})
        return stages


_PATTERN_CHARACTERS = frozenset("\\^$|?*+()[]{}")


def watches(namespaces: Iterable[Namespace], cursor_per: Literal["database", "collection"]) -> list[Watch]:
    """Divide collections among cursors: one for each database, or one for each collection.

    MongoDB 4.0 takes the name of a collection's own cursor as a pattern, so that a collection named like `a+b(c)`
    misses its events there. Such a collection is watched by a cursor on its database, whatever was
    asked for.
    """
    divided: list[Watch] = []
    for db, group in groupby(sorted(set(namespaces)), key=lambda namespace: namespace.db):
        colls = tuple(namespace.coll for namespace in group)
        if cursor_per == "database":
            divided.append(Watch(db, colls))
        else:
            divided += [Watch(db, (coll,), None if _PATTERN_CHARACTERS.intersection(coll) else coll) for coll in colls]
    return divided
