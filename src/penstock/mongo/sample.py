"""A sample of a collection, of any size, as it comes."""

from collections.abc import Iterable, Iterator
from typing import Any

from pymongo.errors import OperationFailure

from penstock.change import Change, Namespace
from penstock.mongo.collections import collection, estimated_count
from penstock.mongo.connection import Client
from penstock.mongo.load import changes_of


def sample(client: Client, namespace: Namespace, size: int) -> Iterator[list[Change]]:
    """Yield so many documents by chance, the whole collection where it is not larger; a server may choose one twice."""
    if estimated_count(client, namespace) <= size:
        yield from _decoded(collection(client, namespace).find_raw_batches({}, limit=size), namespace)
        return
    try:
        chosen = collection(client, namespace).aggregate_raw_batches([{"$sample": {"size": size}}])
    except OperationFailure:  # a server without $sample
        yield from from_both_ends(client, namespace, size)
    else:
        yield from _decoded(chosen, namespace)


def sample_ids(client: Client, namespace: Namespace, size: int) -> list[Any]:
    """The ids of such a sample, as they are stored."""
    return [change.id for changes in sample(client, namespace, size) for change in changes]


def from_both_ends(client: Client, namespace: Namespace, size: int) -> Iterator[list[Change]]:
    """Yield so many documents, half of them from the start of the order by `_id`, and half from its end."""
    for direction, count in ((1, (size + 1) // 2), (-1, size // 2)):
        if count:
            found = collection(client, namespace).find_raw_batches({}, sort=[("_id", direction)], limit=count)
            yield from _decoded(found, namespace)


def _decoded(replies: Iterable[bytes], namespace: Namespace) -> Iterator[list[Change]]:
    for raw in replies:
        yield changes_of(raw, namespace, 0)
