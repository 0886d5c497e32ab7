"""Where the transform stands in the flow: inside the source, which applies it to what it has just decoded.

    Route             where the changes of one collection go, and by which transform
    transform_by      the routes -> the transform that a source is handed          (`pipeline`)
    apply_transform   changes with documents -> changes with bodies                (called by each source)

What was just decoded is still in the processor's cache, and need not be kept once its body is made. What a transform
does to one document stands in `penstock.documents.transform`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from penstock.errors import DocumentError
from penstock.model import (
    Body,
    BsonDocument,
    Change,
    ChangeColumns,
    CollectionTransform,
    Namespace,
    SourceTransform,
    TransformedChange,
    in_rows,
    of_one_collection,
)


class Route(NamedTuple):
    """Where the changes of one collection go: a generation's write alias, by way of its transform."""

    alias: str
    transform: CollectionTransform


Routes = Mapping[Namespace, Route]


def transform_by(routes: Routes) -> SourceTransform:
    """Return the transform that makes bodies by each collection's route; None for a collection without a route."""

    def transform(namespace: Namespace, documents: Sequence[BsonDocument]) -> Sequence[Body]:
        route = routes.get(namespace)
        return route.transform(documents) if route else [None] * len(documents)

    return transform


def apply_transform(changes: Sequence[Change], transform: SourceTransform) -> list[TransformedChange]:
    """Return the same changes with bodies in the place of their documents, which are used up."""
    if not changes:
        return []
    columns = ChangeColumns.of(changes)
    bodies = _bodies(columns, transform)
    if "unreadable" in columns.kinds:
        for place, change in enumerate(changes):
            if change.kind == "unreadable":
                bodies[place] = DocumentError(change.reason)
    return in_rows(
        TransformedChange,
        namespace=columns.namespaces,
        kind=columns.kinds,
        version=columns.versions,
        id=columns.ids,
        body=bodies,
        to=columns.targets,
    )


def _bodies(columns: ChangeColumns, transform: SourceTransform) -> list[Body]:
    """Return the body for each document, None where there is none."""
    namespaces, documents = columns.namespaces, columns.documents
    if of_one_collection(namespaces):
        made = iter(transform(namespaces[0], [document for document in documents if document is not None]))
        return [None if document is None else next(made) for document in documents]
    by_namespace: dict[Namespace, list[BsonDocument]] = {}
    for namespace, document in zip(namespaces, documents, strict=True):
        if document is not None:
            by_namespace.setdefault(namespace, []).append(document)
    made_of = {namespace: iter(transform(namespace, its)) for namespace, its in by_namespace.items()}
    return [
        None if document is None else next(made_of[namespace])
        for namespace, document in zip(namespaces, documents, strict=True)
    ]
