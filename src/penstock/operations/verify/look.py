"""A look at both sides of some documents, and what it says of each.

The index is read first, then the end of the source's log, then the source, once its majority reads have reached that.
So what was read of the source is at least as new as what was seen in the index. A version in the index that is higher
even then is beyond the source's log: the source was restored, or somebody else wrote it.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import orjson

from penstock.documents.document_id import FOREIGN
from penstock.errors import DocumentError
from penstock.model import Body, BsonDocument, Change, Namespace, TransformedChange
from penstock.mongo.connection import cluster_time
from penstock.opensearch.read.by_ids import IndexedDocument, read_by_ids
from penstock.operations.inspect.differences import NotCompared, differences
from penstock.pipeline.transform import apply_transform
from penstock.planner import FedGeneration
from penstock.wiring import Adapters

Side = Literal["source", "index"]
"""From which side a document was come upon. The source's side judges what the source holds, the index's the rest."""

_FIELDS = 20


class CollectionGone(Exception):
    """The collection is not there, and its index is to be kept as it is."""


class ExpectedDocument(NamedTuple):
    """What the index should hold of a document: a body, or why nothing.

    Left out: by the transform. Refused: it has no form in the index, for this `reason`. Gone: the source has none.
    """

    state: Literal["body", "left out", "refused", "gone"]
    body: bytes = b""
    reason: str = ""


GONE = ExpectedDocument("gone")


class BothSides(NamedTuple):
    """Both sides of one document. `version` is the source's cluster time from before it was read.

    `read_at` is from before that. `unsteady` are the fields that the transform made differently when asked twice.
    """

    id: str
    source_id: Any
    indexed: IndexedDocument | None
    wanted: ExpectedDocument
    version: int
    read_at: float
    unsteady: tuple[str, ...] = ()

    @property
    def indexed_version(self) -> int:
        """The version in the index, 0 where the document is not there."""
        return self.indexed.version if self.indexed else 0

    @property
    def version_to_write(self) -> int:
        """The version that a write of what was seen carries."""
        return max(self.version, self.indexed_version)


class DocumentVerdict(NamedTuple):
    """What a look says of one document."""

    kind: Literal["equal", "left out", "missing", "different", "too many"]
    fields: tuple[str, ...] = ()


EQUAL = DocumentVerdict("equal")
MISSING = DocumentVerdict("missing")
TOO_MANY = DocumentVerdict("too many")


def judged(
    wanted: ExpectedDocument, indexed: IndexedDocument | None, side: Side, not_compared: NotCompared
) -> DocumentVerdict:
    """Compare both sides. What the source does not hold is judged from the index's side, all else from the source's."""
    if wanted.state == "gone" or side == "index":
        return TOO_MANY if wanted.state == "gone" and indexed and side == "index" else EQUAL
    if wanted.state == "left out":
        return TOO_MANY if indexed else DocumentVerdict("left out")
    if indexed is None:
        return MISSING
    if wanted.state == "refused":
        return DocumentVerdict("different")
    names = differences(wanted.body, indexed.source, not_compared)
    return DocumentVerdict("different", tuple(names[:_FIELDS])) if names else EQUAL


def _unsteady(one: ExpectedDocument, other: ExpectedDocument) -> tuple[str, ...]:
    """Return the fields in which two results of the transform for the same document differ."""
    if one.body == other.body or not (one.body and other.body):
        return ()
    return tuple(differences(one.body, orjson.loads(other.body)))


def expected_of(change: TransformedChange) -> ExpectedDocument:
    """Return what the index should hold for a state of the source."""
    if isinstance(change.body, DocumentError):
        return ExpectedDocument("refused", reason=str(change.body))
    if change.body is None:
        return ExpectedDocument("left out") if change.kind == "upsert" else GONE
    return ExpectedDocument("body", change.body)


@dataclass
class DocumentLooks:
    """Looks at the documents of one generation."""

    adapters: Adapters
    collection: FedGeneration
    index: str

    @cached_property
    def not_compared(self) -> NotCompared:
        """What the settings, or the mapping of the index, except from the comparison."""
        described = self.adapters.indexes.described(self.index) or {"mappings": {}}
        return NotCompared.of(self.collection.settings.not_compared, described["mappings"])

    def at(self, source_ids: Mapping[str, Any]) -> dict[str, BothSides]:
        """Look at both sides of documents, by their document ids. Raises CollectionGone."""
        indexed = self.indexed(source_ids)
        read_at = time.monotonic()
        found = self._states(list(source_ids.values()))
        once_more = deepcopy(found) if self.collection.settings.function else None
        states = [expected_of(each) for each in apply_transform(found, self.transform)]
        again = [expected_of(each) for each in apply_transform(once_more, self.transform)] if once_more else states
        return {
            key: BothSides(key, source_id, indexed.get(key), state, change.version, read_at, _unsteady(state, other))
            for (key, source_id), change, state, other in zip(source_ids.items(), found, states, again, strict=True)
        }

    def transform(self, _namespace: Namespace, documents: Sequence[BsonDocument]) -> Sequence[Body]:
        """Make the bodies of documents, which are used up; a `penstock.model.SourceTransform`."""
        return self.collection.transform.bodies(documents)

    def indexed(self, ids: Iterable[str]) -> dict[str, IndexedDocument]:
        """What the index holds of these documents now."""
        return read_by_ids(self.adapters.client, self.adapters.patience, self.index, ids)

    def _states(self, source_ids: Sequence[Any]) -> list[Change]:
        """What the source holds of these documents now; what it cannot hold is a `delete` of the time before."""
        name = self.collection.namespace
        now = self.adapters.ask(cluster_time)
        asked = [Change(name, "unresolved", now, each) for each in source_ids if each is not FOREIGN]
        read = self.adapters.states(asked) if asked else []
        if any(state.kind == "gone" for state in read) and self.collection.settings.is_awaited:
            raise CollectionGone
        states = iter(read)
        return [Change(name, "delete", now) if each is FOREIGN else next(states) for each in source_ids]
