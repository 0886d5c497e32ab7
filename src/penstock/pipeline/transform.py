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
    return in_rows(
        TransformedChange,
        namespace=columns.namespaces,
        kind=columns.kinds,
        version=columns.versions,
        id=columns.ids,
        body=_bodies(columns, transform),
        to=columns.targets,
    )


def _bodies(columns: ChangeColumns, transform: SourceTransform) -> Sequence[Body]:
    """Return the body for each change: what the transform makes of its document, or what there is without one."""
    bodies: list[Body]
    if of_one_collection(columns.namespaces):
        made = transform(columns.namespaces[0], [document for document in columns.documents if document is not None])
        if len(made) == len(columns.documents):  # the usual case: every change has a document
            return made
        rest = iter(made)
        bodies = [None if document is None else next(rest) for document in columns.documents]
    else:
        bodies = _bodies_of_several(columns, transform)
    return _with_reasons(bodies, columns) if "unreadable" in set(columns.kinds) else bodies


def _bodies_of_several(columns: ChangeColumns, transform: SourceTransform) -> list[Body]:
    by_namespace: dict[Namespace, list[BsonDocument]] = {}
    for namespace, document in zip(columns.namespaces, columns.documents, strict=True):
        if document is not None:
            by_namespace.setdefault(namespace, []).append(document)
    made = {namespace: iter(transform(namespace, documents)) for namespace, documents in by_namespace.items()}
    return [
        None if document is None else next(made[namespace])
        for namespace, document in zip(columns.namespaces, columns.documents, strict=True)
    ]


def _with_reasons(bodies: Sequence[Body], columns: ChangeColumns) -> list[Body]:
    """Put the reason in the place of each body that an unreadable document cannot have."""
    return [
        DocumentError(reason) if kind == "unreadable" else body
        for body, kind, reason in zip(bodies, columns.kinds, columns.reasons, strict=True)
    ]
