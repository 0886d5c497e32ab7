"""What a document is at the source now, and what the transform makes of it."""

from dataclasses import dataclass
from typing import Any

import orjson
from pymongo.errors import PyMongoError

from penstock.documents.omitted import as_left_out
from penstock.errors import DocumentError
from penstock.model import Change, Namespace
from penstock.mongo.connection import Connection, cluster_time
from penstock.mongo.error_table import unavailable
from penstock.mongo.lookup import with_states
from penstock.opensearch.read.by_ids import IndexedDocument
from penstock.operations.explain.diagnosis import SourceSays, TransformSays
from penstock.operations.inspect.differences import FieldComparison, NotCompared, field_by_field
from penstock.planner import FedGeneration


@dataclass(frozen=True)
class Transformed:
    """What the transform made of the source's document."""

    state: TransformSays
    body: dict[str, Any]
    reason: str = ""

    def compared_with(self, found: IndexedDocument | None, not_compared: NotCompared) -> dict[str, FieldComparison]:
        """Each field that is compared, as it should be and as it is in the index."""
        if self.state != "indexed" and found is None:
            return {}
        ours, theirs = self.body, found.source if found else {}
        if found and not_compared:
            ours, theirs = not_compared.without(ours), not_compared.without(theirs)
        return field_by_field(ours, theirs)


def present_state(connection: Connection, namespace: Namespace, source_id: Any) -> Change:
    """What the document is now. Raises SourceUnavailable."""
    client = connection.client
    try:
        now = cluster_time(client)
        return with_states(client, [Change(namespace, "unresolved", now, source_id)])[0]
    except PyMongoError as error:
        raise unavailable(error, f"a read of a document in {namespace}") from error


def source_says(change: Change) -> SourceSays:
    """The same in the words of the diagnosis."""
    states: dict[str, SourceSays] = {
        "upsert": "there",
        "delete": "not there",
        "unreadable": "unreadable",
        "gone": "no collection",
    }
    return states[change.kind]


def transformed(collection: FedGeneration, change: Change, found: IndexedDocument | None) -> Transformed:
    """What the index should hold of it; without what the document says there that it was left without."""
    if change.document is None:
        return Transformed("", {})
    try:
        body = collection.transform(change.document)
    except DocumentError as error:
        return Transformed("refused", {}, str(error))
    if body is None:
        return Transformed("left out", {})
    return Transformed("indexed", orjson.loads(as_left_out(body, found.source) if found else body))
