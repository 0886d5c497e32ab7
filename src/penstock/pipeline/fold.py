"""Changes -> writes: the transform makes the body, the last change of a document wins, nothing goes uncounted."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

from penstock.documents.document_id import document_ids, id_json
from penstock.errors import DocumentError, SystemicFault
from penstock.model import (
    CONTROL,
    WRITTEN,
    Body,
    Change,
    Counts,
    Letter,
    MakeBodies,
    Namespace,
    Outcome,
    Position,
    Refusal,
    Write,
    all_one,
    in_rows,
)

Bodies = Callable[[Sequence[dict[str, Any]]], list[Body]]
"""Makes the bodies of documents, which are used up."""


class Route(NamedTuple):
    """Where the changes of one collection go: a generation's write alias, by way of its transform."""

    alias: str
    bodies: Bodies


Routes = Mapping[Namespace, Route]


@dataclass(slots=True)
class FoldedBatch:
    """The writes of one batch, one for each document, with what is needed to account for every change.

    `writes` and `changes` run side by side; `left_out` are the places of the deletes of documents that the transform
    left out. `documents` are the document ids touched, by alias.
    """

    position: Position
    writes: list[Write] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    left_out: set[int] = field(default_factory=set)
    letters: list[Letter] = field(default_factory=list)
    documents: dict[str, Set[str]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    def touches(self, documents: Mapping[str, Set[str]]) -> bool:
        """Whether it holds a change of one of these documents."""
        shared = self.documents.keys() & documents.keys()
        return any(not self.documents[alias].isdisjoint(documents[alias]) for alias in shared)

    def settle(self, outcomes: Sequence[Outcome]) -> list[Letter]:
        """Count what became of the writes; answer the dead letters to store, those of the transform included."""
        if len(outcomes) != len(self.writes):
            raise SystemicFault(f"{len(self.writes)} writes were answered by {len(outcomes)} outcomes")
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
    change: Change, alias: str, text_id: str, position: Position, reason: str, body: bytes | None = None
) -> Letter:
    """Make the dead letter of a change."""
    return Letter(change.namespace, alias, text_id, id_json(change.id), change.version, position, reason, body)


def split(changes: Sequence[Change]) -> Iterator[tuple[Sequence[Change], Change | None]]:
    """Cut changes after each control change; yields (changes of documents, the control change that ends them)."""
    start = 0
    for index, change in enumerate(changes):
        if change.kind in CONTROL:
            yield changes[start:index], change
            start = index + 1
    yield changes[start:] if start else changes, None


def transform_by(routes: Routes) -> MakeBodies:
    """Make bodies by the transform of each collection's route; None where nobody wants its documents."""

    def bodies(namespace: Namespace, documents: Sequence[dict[str, Any]]) -> Sequence[Body]:
        route = routes.get(namespace)
        return route.bodies(documents) if route else [None] * len(documents)

    return bodies


def fold(changes: Sequence[Change], position: Position, routes: Routes) -> FoldedBatch:
    """Fold shaped changes that hold no control change into writes.

    A document that the transform refused becomes a dead letter; one that it left out becomes a delete, since an
    earlier state of it may be indexed.
    """
    prepared = FoldedBatch(position, counts=Counts(read=len(changes)))
    for namespace, some in _by_namespace(changes):
        route = routes.get(namespace)
        if route is None:
            prepared.counts.control += len(some)
            continue
        last = _folded(some, prepared.counts)
        prepared.documents[route.alias] = set(last)  # not the keys of `last`: they would keep its changes
        if last:
            _write(route.alias, last, prepared)
    return prepared


def _by_namespace(changes: Sequence[Change]) -> Iterable[tuple[Namespace, Sequence[Change]]]:
    """The changes of each collection, in their order."""
    namespaces = [change.namespace for change in changes]
    if namespaces and all_one(namespaces):
        return [(namespaces[0], changes)]
    grouped: dict[Namespace, list[Change]] = {namespace: [] for namespace in namespaces}
    for change in changes:
        grouped[change.namespace].append(change)
    return grouped.items()


def _folded(changes: Sequence[Change], counts: Counts) -> dict[str, Change]:
    """The last change of each document by its document id, in the order of these changes."""
    known = [change for change in changes if change.kind != "gone"]
    counts.control += len(changes) - len(known)
    ids = document_ids([change.id for change in known])
    last = dict(zip(ids, known, strict=True))
    counts.folded += len(known) - len(last)
    if len(last) < len(known):
        last.clear()
        for text_id, change in zip(ids, known, strict=True):
            last.pop(text_id, None)  # so that documents stay in the order of their last change
            last[text_id] = change
    return last


_BODIES = frozenset({bytes, type(None)})


def _write(alias: str, last: Mapping[str, Change], prepared: FoldedBatch) -> None:
    changes = list(last.values())
    _, kinds, versions, _, _, _, _, bodies = zip(*changes, strict=True)
    if _BODIES.issuperset(map(type, bodies)) and bodies.count(None) == kinds.count("delete"):
        # the usual case, in one go
        prepared.writes += in_rows(Write, repeat(alias), last, versions, bodies)
        prepared.changes += changes
        return
    for text_id, change in last.items():
        body = change.body if change.kind != "unreadable" else DocumentError(change.reason)
        if isinstance(body, DocumentError):
            prepared.letters.append(letter(change, alias, text_id, prepared.position, str(body)))
            continue
        if body is None and change.kind == "upsert":
            if change.document is not None:
                raise AssertionError(f"a change of {change.namespace} was not shaped: it would be taken for left out")
            prepared.left_out.add(len(prepared.writes))
        prepared.writes.append(Write(alias, text_id, change.version, body))
        prepared.changes.append(change)
