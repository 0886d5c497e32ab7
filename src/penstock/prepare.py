"""Changes -> writes: the last change of a document wins, the transform makes the body, nothing goes uncounted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from penstock.change import CONTROL, Change, Counts, Letter, Namespace, Outcome, Position, Refusal, Write
from penstock.document_id import document_id, key
from penstock.errors import DocumentError, SystemicFault


class Transformed(Protocol):
    """Makes the body of one document; None leaves it out. Raises DocumentError."""

    def __call__(self, document: dict[str, object], /) -> bytes | None: ...


class Route(NamedTuple):
    """Where the changes of one collection go: a generation's write alias, by way of its transform."""

    alias: str
    transform: Transformed


Routes = Mapping[Namespace, Route]


@dataclass(slots=True)
class Prepared:
    """The writes of one batch, one for each document, with what is needed to account for every change.

    `writes` and `changes` run side by side. The writes from `left_out` on delete documents that the transform left
    out. `documents` are the (alias, id) pairs touched.
    """

    position: Position
    writes: list[Write] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    left_out: int = 0
    letters: list[Letter] = field(default_factory=list)
    documents: set[tuple[str, str]] = field(default_factory=set)
    counts: Counts = field(default_factory=Counts)

    def settle(self, outcomes: Sequence[Outcome]) -> list[Letter]:
        """Count what became of the writes; answer the dead letters to store, those of the transform included."""
        if len(outcomes) != len(self.writes):
            raise SystemicFault(f"{len(self.writes)} writes were answered by {len(outcomes)} outcomes")
        letters = list(self.letters)
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Refusal):
                letters.append(self._letter(index, outcome))
            elif index >= self.left_out:
                self.counts.filtered += 1
            elif outcome == "written":
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
    return Letter(change.namespace, alias, text_id, key(change.id), change.version, position, reason, body)


def split(changes: Sequence[Change]) -> Iterator[tuple[Sequence[Change], Change | None]]:
    """Cut changes after each control change; yields (changes of documents, the control change that ends them)."""
    start = 0
    for index, change in enumerate(changes):
        if change.kind in CONTROL:
            yield changes[start:index], change
            start = index + 1
    yield changes[start:] if start else changes, None


def prepare(changes: Sequence[Change], position: Position, routes: Routes) -> Prepared:
    """Fold and transform changes that hold no control change.

    A document that the transform refuses becomes a dead letter; one that it leaves out becomes a delete, since an
    earlier state of it may be indexed.
    """
    prepared = Prepared(position, counts=Counts(read=len(changes)))
    last: dict[tuple[str, str], Change] = {}
    for change in changes:
        route = routes.get(change.namespace)
        if route is None or change.kind == "left":
            prepared.counts.control += 1
            continue
        document = (route.alias, document_id(change.id))
        if document in last:
            prepared.counts.folded += 1
            del last[document]  # so that documents stay in the order of their last change
        last[document] = change
    prepared.documents = set(last)
    _transform(last, routes, prepared)
    return prepared


def _transform(last: Mapping[tuple[str, str], Change], routes: Routes, prepared: Prepared) -> None:
    left_out: list[tuple[Write, Change]] = []
    for (alias, text_id), change in last.items():
        body = None
        if change.kind == "unreadable":
            prepared.letters.append(letter(change, alias, text_id, prepared.position, change.reason))
            continue
        if change.document is not None:
            try:
                body = routes[change.namespace].transform(change.document)
            except DocumentError as error:
                prepared.letters.append(letter(change, alias, text_id, prepared.position, str(error)))
                continue
            if body is None:
                left_out.append((Write(alias, text_id, change.version, None), change))
                continue
        prepared.writes.append(Write(alias, text_id, change.version, body))
        prepared.changes.append(change)
    prepared.left_out = len(prepared.writes)
    prepared.writes.extend(write for write, _ in left_out)
    prepared.changes.extend(change for _, change in left_out)
