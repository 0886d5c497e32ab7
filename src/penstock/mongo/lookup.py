"""The present state of documents whose changes came without it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

from bson.errors import InvalidBSON
from pymongo.errors import OperationFailure

from penstock.documents.document_id import can_be_asked_for, document_id
from penstock.model import Change, Namespace
from penstock.mongo.codec import OF_IDS
from penstock.mongo.collections import chunks, collection, estimated_count, exists, reached_time
from penstock.mongo.connection import SourceClient
from penstock.mongo.load import changes_of

_IDS_AT_ONCE = 500
_CHOSEN_FOR_EACH = 20
_MOST_CHOSEN = 50_000
"""Of the ids from which bounds are chosen: more of them for each bound make the parts more alike."""


def with_states(client: SourceClient, changes: Sequence[Change]) -> list[Change]:
    """Return the same changes; each `unresolved` one has become what its document is now.

    What is read is the state at the change's version or a later one. It carries the cluster time from before it was
    read, a document that is not there is a `delete` of that time. Where the collection is not there either, the change
    is `gone`. One whose `_id` no query can name is `unreadable`. Raises PyMongoError.
    """
    unread: dict[Namespace, list[Change]] = {}
    changes = [_unreadable(each) if _is_unreadable(each) else each for each in changes]
    for change in changes:
        if change.kind == "unresolved":
            unread.setdefault(change.namespace, []).append(change)
    states = {namespace: _states(client, namespace, its) for namespace, its in unread.items()}
    return [
        states[change.namespace].get(document_id(change.id)) or change._replace(kind="gone")
        if change.kind == "unresolved"
        else change
        for change in changes
    ]


def _is_unreadable(change: Change) -> bool:
    return change.kind == "unresolved" and not can_be_asked_for(change.id)


def _unreadable(change: Change) -> Change:
    return change._replace(kind="unreadable", reason="the document cannot be looked up: its _id is not UTF-8")


def _states(client: SourceClient, namespace: Namespace, unread: Sequence[Change]) -> dict[str, Change]:
    ids = {document_id(change.id): change.id for change in unread}
    version = reached_time(client, namespace, max(change.version for change in unread))
    states = {text: Change(namespace, "delete", version, source_id) for text, source_id in ids.items()}
    states.update((document_id(found.id), found) for found in _read_changes(client, namespace, ids, version))
    return states if exists(client, namespace) else {}  # asked last: what a drop took away was not deleted


def _read_changes(client: SourceClient, namespace: Namespace, ids: dict[str, Any], version: int) -> Iterator[Change]:
    for chunk in chunks(ids.values(), _IDS_AT_ONCE):
        with closing(collection(client, namespace).find_raw_batches({"_id": {"$in": chunk}})) as batches:
            for raw in batches:
                yield from changes_of(raw, namespace, version)


def sample(client: SourceClient, namespace: Namespace, size: int) -> Iterator[list[Change]]:
    """Yield `size` documents by chance, the whole collection where it is not larger; a server may choose one twice."""
    if estimated_count(client, namespace) <= size:
        yield from _decoded(collection(client, namespace).find_raw_batches({}, limit=size), namespace)
        return
    try:
        chosen = collection(client, namespace).aggregate_raw_batches([{"$sample": {"size": size}}])
    except OperationFailure:  # a server without $sample
        yield from from_both_ends(client, namespace, size)
    else:
        yield from _decoded(chosen, namespace)


def sample_ids(client: SourceClient, namespace: Namespace, size: int) -> list[Any]:
    """The ids of such a sample, as they are stored."""
    return [change.id for changes in sample(client, namespace, size) for change in changes]


def from_both_ends(client: SourceClient, namespace: Namespace, size: int) -> Iterator[list[Change]]:
    """Yield `size` documents, half of them from the start of the order by `_id`, and half from its end."""
    for direction, count in ((1, (size + 1) // 2), (-1, size // 2)):
        if count:
            found = collection(client, namespace).find_raw_batches({}, sort=[("_id", direction)], limit=count)
            yield from _decoded(found, namespace)


def _decoded(replies: Iterable[bytes], namespace: Namespace) -> Iterator[list[Change]]:
    for raw in replies:
        yield changes_of(raw, namespace, 0)


def bounds(client: SourceClient, namespace: Namespace, count: int) -> list[Any]:
    """Return `count` ids or fewer, chosen by chance and in the order of the source: they cut it into like parts.

    None where the server does not choose: then it is one part.
    """
    if count < 1:
        return []
    chosen = [{"$sample": {"size": min(count * _CHOSEN_FOR_EACH, _MOST_CHOSEN)}}, {"$project": {"_id": 1}}]
    its = collection(client, namespace).with_options(codec_options=OF_IDS)
    try:
        found = [each["_id"] for each in its.aggregate([*chosen, {"$sort": {"_id": 1}}])]
    except (OperationFailure, InvalidBSON):
        return []
    step = max(1.0, len(found) / (count + 1))
    places = [round(step * number) for number in range(1, count + 1)]
    return [found[place] for place in places if place < len(found)]
