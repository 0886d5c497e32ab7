"""Makes a CloudEvent (1.0, JSON) of an event of a change stream.

EventMaker   the transform of a reaction's source: it chooses by kind and condition, and writes the events
Event        an event as it is given to a target
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import orjson

from penstock.documents.document_id import document_id
from penstock.documents.encode import encode
from penstock.errors import DocumentError
from penstock.model import Body, BsonDocument, Namespace, seconds_of, version_of
from penstock.reactions.where import Condition
from penstock.settings import ReactionSettings

TYPE = "penstock.document."
"""How the types of events begin; the kind of the change follows."""


class Event(NamedTuple):
    """An event for a target: the attributes that targets need, and the whole of it as JSON.

    `id` is the same whenever the change is read. `subject` stands for the document: its events are in order.
    """

    id: str
    type: str
    source: str
    subject: str
    time: str
    collection: str
    body: bytes

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read the attributes of an event that was written by EventMaker."""
        whole = orjson.loads(body)
        return cls(
            *(whole["id"], whole["type"], whole["source"], whole["subject"], whole["time"]),
            *(whole["data"]["collection"], body),
        )


class EventMaker:
    """Writes the events of one reaction; used by the thread that reads its source, for events in their order."""

    def __init__(
        self,
        source: str,
        collections: Collection[Namespace],
        kinds: Collection[str],
        condition: Condition,
        *,
        document: bool = True,
        before: bool = False,
    ) -> None:
        """`source` is the attribute of that name; `document` and `before` say what events carry besides keys."""
        self._source = source
        self._collections = frozenset(collections)
        self._kinds = frozenset(kinds)
        self._condition = condition
        self._with_document = document
        self._with_before = before
        self._version = 0
        self._seen: dict[str, list[Any]] = {}

    @classmethod
    def of(
        cls,
        reaction: ReactionSettings,
        condition: Condition,
        *,
        deployment: str | None,
        collections: Collection[str],
    ) -> Self:
        """Return the one of a declared reaction, for these of its collections; `deployment` is the [pipeline] name."""
        return cls(
            f"penstock/{deployment}" if deployment else "penstock",
            [Namespace.named(each) for each in collections],
            reaction.kinds,
            condition,
            document=reaction.document,
            before=reaction.before,
        )

    def __call__(self, namespace: Namespace, events: Sequence[BsonDocument]) -> Sequence[Body]:
        """Return the CloudEvent for each event, None for those that the reaction does not want."""
        if namespace not in self._collections:
            return [None] * len(events)
        return [self._body(namespace, each) for each in events]

    def _body(self, namespace: Namespace, event: BsonDocument) -> bytes | None:
        version = version_of(event["clusterTime"].time, event["clusterTime"].inc)
        subject = f"{namespace}/{document_id(event['documentKey']['_id'])}"
        place, kind = self._place(version, subject, event["_id"]), event["operationType"]
        judged = event.get("fullDocumentBeforeChange" if kind == "delete" else "fullDocument")
        if kind not in self._kinds or (isinstance(judged, dict) and not self._condition(judged)):
            return None
        attributes = {
            "specversion": "1.0",
            "id": f"{subject}/{version}" + (f"/{place}" if place else ""),
            "source": self._source,
            "type": f"{TYPE}{kind}",
            "subject": subject,
            "time": datetime.fromtimestamp(seconds_of(version), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "datacontenttype": "application/json",
        }
        return orjson.dumps({**attributes, "data": orjson.Fragment(self._data(namespace, event))})

    def _place(self, version: int, subject: str, token: Any) -> int:
        """Tell the changes apart that one transaction made to one document; one that is read again has its place."""
        if version != self._version:
            self._version, self._seen = version, {}
        tokens = self._seen.setdefault(subject, [])
        if token not in tokens:
            tokens.append(token)
        return tokens.index(token)

    def _data(self, namespace: Namespace, event: BsonDocument) -> bytes:
        """Return the data as JSON. What has no JSON form is named in it: the event must not be lost for it."""
        data = {"collection": str(namespace), "kind": event["operationType"]}
        whole = {**data, "key": event["documentKey"]}
        if self._with_document:
            whole["document"] = event.get("fullDocument")
        if self._with_before:
            whole["before"] = event.get("fullDocumentBeforeChange")
        if not isinstance(whole.get("document"), dict | None):
            whole |= {"document": None, "problem": "the document cannot be decoded"}
        try:
            return encode(whole)
        except DocumentError as error:
            key = {"_id": document_id(event["documentKey"]["_id"])}
            return encode({**data, "key": key, "document": None, "problem": str(error)})
