"""Bodies in the place of documents, right after these were decoded."""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from penstock.change import Body, Change, Namespace, in_rows

Shape = Callable[[Namespace, Sequence[dict[str, Any]]], Sequence[Body]]
"""Makes the bodies of some documents of one collection, which it uses up."""


def shaped(changes: list[Change], shape: Shape | None) -> list[Change]:
    """Put the bodies that `shape` makes in the place of the documents."""
    if shape is None or not changes:
        return changes
    namespaces, kinds, versions, ids, documents, targets, reasons, _ = zip(*changes, strict=True)
    bodies = _bodies(namespaces, documents, shape)
    return in_rows(Change, namespaces, kinds, versions, ids, repeat(None), targets, reasons, bodies)


def _bodies(
    namespaces: Sequence[Namespace], documents: Sequence[dict[str, Any] | None], shape: Shape
) -> Sequence[Body]:
    """The body for each document, None where there is none."""
    if all_one(namespaces):
        of_one = iter(shape(namespaces[0], [document for document in documents if document is not None]))
        return [None if document is None else next(of_one) for document in documents]
    by_namespace: dict[Namespace, list[dict[str, Any]]] = {}
    for namespace, document in zip(namespaces, documents, strict=True):
        if document is not None:
            by_namespace.setdefault(namespace, []).append(document)
    made = {namespace: iter(shape(namespace, some)) for namespace, some in by_namespace.items()}
    return [
        None if document is None else next(made[namespace])
        for namespace, document in zip(namespaces, documents, strict=True)
    ]


def all_one(namespaces: Sequence[Namespace]) -> bool:
    """Whether all these are one."""
    return namespaces.count(namespaces[0]) == len(namespaces)
