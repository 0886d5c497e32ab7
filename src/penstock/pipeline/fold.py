"""Changes -> writes: the last change of a document wins, and nothing goes uncounted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import repeat

from penstock.documents.document_id import document_ids, id_json
from penstock.errors import DocumentError, SystemicFault
from penstock.model import (
    CONTROL,
    WRITTEN,
    Change,
    Counts,
    Letter,
    Namespace,
    Outcome,
    Position,
    Refusal,
    TransformedChange,
    TransformedColumns,
    Write,
    in_rows,
    of_one_collection,
)
from penstock.pipeline.transform import Routes


@dataclass(slots=True)
class FoldedBatch:
    """The writes of one batch, one for each document, with what is needed to account for every change.

    `writes` and `changes` run side by side; `left_out` are the places of the deletes of documents that the transform
    left out. `documents` are the document ids touched, by alias.
    """

    position: Position
    writes: list[Write] = field(default_factory=list)
    changes: list[TransformedChange] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)
    letters: list[Letter] = field(default_factory=list)
    documents: dict[str, Set[str]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    def touches(self, documents: Mapping[str, Set[str]]) -> bool:
        """Whether it holds a change of one of these documents."""
        shared = self.documents.keys() & documents.keys()
        return any(not self.documents[alias].isdisjoint(documents[alias]) for alias in shared)

    def settle(self, outcomes: Sequence[Outcome]) -> list[Letter]:
        """Count what became of the writes; return the dead letters to store, those of the transform included."""
        if len(outcomes) != len(self.writes):
            raise SystemicFault(f"the sink returned {len(outcomes)} outcomes for {len(self.writes)} writes")
        letters = list(self.letters)
        if not self.left_out and outcomes.count(WRITTEN) == len(outcomes):
            self.counts.written += len(outcomes)
            outcomes = ()
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, Refusal):
                letters.append(self._letter(place, outcome))
            elif place in self.left_out:
                self.counts.filtered += 1
            elif outcome == WRITTEN:
                self.counts.written += 1
            else:
                self.counts.superseded += 1
        self.counts.dead_lettered += len(letters)
        return letters

    def _letter(self, index: int, refusal: Refusal) -> Letter:
        write, change = self.writes[index], self.changes[index]
        reason = f"{refusal.status}: {refusal.reason}"
        return letter(change, write.alias, write.id, self.position, reason, write.body)


def letter(
    change: TransformedChange,
    alias: str,
    text_id: str,
    position: Position,
    reason: str,
    body: bytes | None = None,
) -> Letter:
    """Make the dead letter of a change."""
    return Letter(change.namespace, alias, text_id, id_json(change.id), change.version, position, reason, body)


def split(changes: Sequence[TransformedChange]) -> Iterator[tuple[Sequence[TransformedChange], Change | None]]:
    """Cut changes after each control change; yields (changes of documents, the control change that ends them).

    A control change has neither document nor body: it comes out as the `Change` that the source had decoded.
    """
    start = 0
    for index, change in enumerate(changes):
        if change.kind in CONTROL:
            yield changes[start:index], Change(change.namespace, change.kind, change.version, to=change.to)
            start = index + 1
    yield changes[start:] if start else changes, None


def fold(changes: Sequence[TransformedChange], position: Position, routes: Routes) -> FoldedBatch:
    """Fold changes, none of them a control change, into writes.

    A document that the transform refused becomes a dead letter; one that it left out becomes a delete, since an
    earlier state of it may be indexed.
    """
    folded = FoldedBatch(position, counts=Counts(read=len(changes)))
    for namespace, its_changes in _by_namespace(changes):
        route = routes.get(namespace)
        if route is None:
            folded.counts.control += len(its_changes)
            continue
        last = _last_by_document(its_changes, folded.counts)
        folded.documents[route.alias] = set(last)  # not the keys of `last`: they would keep its changes
        if last:
            _add_writes(route.alias, last, folded)
    return folded


def _by_namespace(
    changes: Sequence[TransformedChange],
) -> Iterable[tuple[Namespace, Sequence[TransformedChange]]]:
    """Return the changes of each collection, in their order."""
    namespaces = [change.namespace for change in changes]
    if namespaces and of_one_collection(namespaces):
        return [(namespaces[0], changes)]
    grouped: dict[Namespace, list[TransformedChange]] = {namespace: [] for namespace in namespaces}
    for change in changes:
        grouped[change.namespace].append(change)
    return grouped.items()


def _last_by_document(changes: Sequence[TransformedChange], counts: Counts) -> dict[str, TransformedChange]:
    """Return the last change of each document by its document id, in the order of these changes."""
    kept = [change for change in changes if change.kind != "gone"]
    counts.control += len(changes) - len(kept)
    ids = document_ids([change.id for change in kept])
    last = dict(zip(ids, kept, strict=True))
    counts.folded += len(kept) - len(last)
    if len(last) < len(kept):
        last.clear()
        for text_id, change in zip(ids, kept, strict=True):
            last.pop(text_id, None)  # so that documents stay in the order of their last change
            last[text_id] = change
    return last


_BODY_TYPES = frozenset({bytes, type(None)})


def _add_writes(alias: str, last: Mapping[str, TransformedChange], folded: FoldedBatch) -> None:
    changes = list(last.values())
    columns = TransformedColumns.of(changes)
    bodies = columns.bodies
    if _BODY_TYPES.issuperset(map(type, bodies)) and bodies.count(None) == columns.kinds.count("delete"):
        # the usual case, in one go
        folded.writes += in_rows(Write, alias=repeat(alias), id=last, version=columns.versions, body=bodies)
        folded.changes += changes
        return
    for text_id, change in last.items():
        if isinstance(change.body, DocumentError):
            folded.letters.append(letter(change, alias, text_id, folded.position, str(change.body)))
            continue
        if change.kind == "unresolved":
            raise AssertionError(f"a change of {change.namespace} was not looked up: it would be taken for a delete")
        if change.body is None and change.kind == "upsert":
            folded.left_out.add(len(folded.writes))
        folded.writes.append(Write(alias, text_id, change.version, change.body))
        folded.changes.append(change)
