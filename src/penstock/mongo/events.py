"""From the events of a change stream to changes.

EventReader   changes with documents, for an index
WholeEvents   changes with whole events, for a reaction
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

from penstock.model import BsonDocument, Change, Kind, Names, Namespace, version_of
from penstock.mongo.cursor import Undecodable

CONTROL_KINDS: dict[str, Kind] = {
    "drop": "drop",
    "rename": "rename",
    "dropDatabase": "drop_database",
    "invalidate": "invalidate",
}

STATES = frozenset({"insert", "update", "replace"})

MissingDocument = Literal["delete", "gone", "unresolved"]
"""What it means that an update comes without its document: deleted since, its collection is gone, or nobody knows
before it is looked up."""


class EventReader:
    """Turns events of one database into changes; `missing` is asked about a collection.

    Changes of documents go by the declared name of their collection, control changes by the names at the source.
    `simple` has the collections that never had another name.
    """

    def __init__(
        self, db: str, colls: Collection[str], missing: Callable[[str], MissingDocument], renamed: Sequence[Names] = ()
    ) -> None:
        self._db = db
        self._renamed: dict[str, list[Names]] = {}
        for names in renamed:
            for coll in names.carried(0):
                self._renamed.setdefault(coll, []).append(names)
        self._watched = frozenset(Namespace(db, coll) for coll in (*colls, *self._renamed))
        self._namespaces = {coll: Namespace(db, coll) for coll in colls}
        self.simple = {coll: name for coll, name in self._namespaces.items() if coll not in self._renamed}
        self._missing = missing

    def changes(
        self, events: Sequence[BsonDocument], missing: dict[str, MissingDocument] | None = None
    ) -> list[Change]:
        """Answer the changes, in order. Events of other kinds say nothing about a document and are left out.

        `missing` remembers what was asked about the collections: nothing is asked twice with the same one.
        """
        missing = {} if missing is None else missing
        changes: list[Change] = []
        for event in events:
            operation = event["operationType"]
            time = event["clusterTime"]
            version = (time.time << 32) | time.inc
            if operation in STATES or operation == "delete":
                coll, document = event["ns"]["coll"], event.get("fullDocument")
                namespace = self.simple.get(coll) or self.namespace(coll, version)
                if namespace and document.__class__ is dict and operation in STATES:
                    changes.append(Change(namespace, "upsert", version, event["documentKey"]["_id"], document))
                elif namespace:
                    changes.append(self._without_document(event, namespace, version, missing))
            elif operation in CONTROL_KINDS and (change := self.control(event, version)):
                changes.append(change)
        return changes

    def _without_document(
        self, event: BsonDocument, namespace: Namespace, version: int, missing: dict[str, MissingDocument]
    ) -> Change:
        coll, key, document = event["ns"]["coll"], event["documentKey"]["_id"], event.get("fullDocument")
        if event["operationType"] == "delete":
            return Change(namespace, "delete", version, key)
        if isinstance(document, Undecodable):
            return Change(namespace, "unreadable", version, key, reason=document.reason)
        if coll not in missing:
            missing[coll] = self._missing(coll)
        return Change(namespace, missing[coll], version, key)

    def control(self, event: BsonDocument, version: int) -> Change | None:
        """The control change; none for a rename among other collections."""
        kind = CONTROL_KINDS[event["operationType"]]
        namespace = _namespace_of(event.get("ns", {}), self._db)
        to = _namespace_of(event["to"], self._db) if kind == "rename" else None
        if kind == "rename" and self._watched.isdisjoint({namespace, to}):
            return None
        return Change(namespace, kind, version, to=to)

    def namespace(self, coll: str, version: int) -> Namespace | None:
        """Whose change it is, by the declared name; none where the name was another collection's at the time."""
        if coll in self._renamed:
            return self._namespace_at(coll, version)
        found = self._namespaces.get(coll)
        return found or self._namespaces.setdefault(coll, Namespace(self._db, coll))

    def _namespace_at(self, coll: str, version: int) -> Namespace | None:
        names = next((each for each in self._renamed[coll] if each.at(version).coll == coll), None)
        if names:
            return names.declared
        moved = {each.declared.coll for each in self._renamed[coll]}
        return None if coll in moved else self._namespaces.get(coll)


class WholeEvents:
    """Turns events into changes that carry the whole event in the place of their document."""

    def __init__(self, db: str) -> None:
        self._db = db

    def changes(self, events: Sequence[BsonDocument], _missing: object = None) -> list[Change]:
        """Answer the changes, in order. Events of other kinds are left out."""
        changes: list[Change] = []
        for event in events:
            operation, time = event["operationType"], event["clusterTime"]
            namespace, version = _namespace_of(event.get("ns", {}), self._db), version_of(time.time, time.inc)
            if operation in STATES or operation == "delete":
                kind: Kind = "delete" if operation == "delete" else "upsert"
                changes.append(Change(namespace, kind, version, event["documentKey"]["_id"], event))
            elif operation in CONTROL_KINDS:
                changes.append(Change(namespace, CONTROL_KINDS[operation], version))
        return changes


def _namespace_of(ns: dict[str, Any], db: str) -> Namespace:
    return Namespace(ns.get("db", db), ns.get("coll", ""))
