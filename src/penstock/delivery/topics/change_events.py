"""Form `change-events`: the events of a change stream, as MongoDB's connector for Apache Kafka writes them.

All its outputs are read: JSON (strict, relaxed, canonical), BSON, and the default schema, with parts as JSON in texts.
An event without a cluster time (of a copy of what was there before) or without its document is looked up.
"""

import json
from collections.abc import Sequence
from typing import Any

from penstock.delivery.stream_events import StreamEvent, readable, time_of, value_of
from penstock.delivery.topics.keys import IdKinds, NoIds, candidates, ids_of_key, may_be_another, place_change
from penstock.delivery.topics.texts import Unreadable, read_bson, read_json
from penstock.documents.document_id import UNREADABLE
from penstock.kafka.records import Record
from penstock.model import Change, Namespace
from penstock.mongo.events import EventReader

_PARTS = ("fullDocument", "documentKey", "clusterTime", "ns", "to")
"""What the default schema has as JSON in a text."""


def changes_of_events(records: Sequence[Record], namespace: Namespace, kinds: IdKinds) -> list[Change]:
    """Return the changes of a collection's topic, in order. What cannot be understood is `unreadable`.

    Simplified JSON writes an ObjectId as a text: a change of an `_id` that may be of one of the `kinds`, the types of
    `_id` that the collection has, is looked up.
    """
    reader = EventReader(namespace.db, [namespace.coll], lambda _coll: "unresolved")
    changes: list[Change] = []
    for record in records:
        try:
            changes += _changes(record, namespace, reader, kinds)
        except Unreadable as error:
            changes.append(place_change(record, namespace, str(error)))
    return changes


def _changes(record: Record, namespace: Namespace, reader: EventReader, kinds: IdKinds) -> list[Change]:
    if record.value is None:
        return _tombstone(record, namespace)
    is_bson = read_bson(record.value)
    event = is_bson if is_bson is not None else _event(record.value)
    operation = event.get("operationType")
    if not isinstance(operation, str):
        raise Unreadable('it is no event of a change stream: it has no operationType; is the form "keys"?')
    if isinstance(key := event.get("documentKey"), dict):
        _require_of(namespace, event)
        ids = [key.get("_id")] if is_bson is not None else _ids(key.get("_id"), kinds)
        if time_of(event) is None or len(ids) > 1:
            return [Change(namespace, "unresolved", 0, each) for each in ids]
    events = [event] if is_bson is not None else list(readable([event], [namespace]))
    return reader.changes(events)


def _require_of(namespace: Namespace, event: StreamEvent) -> None:
    """Raise Unreadable for an event of another collection than its topic stands for."""
    ns = event.get("ns")
    found = (ns.get("db"), ns.get("coll")) if isinstance(ns, dict) else (None, None)
    if found != namespace:
        raise Unreadable(f"it is about {'.'.join(map(str, found))}, and [[topics]] says that its topic is {namespace}")


def _event(value: bytes) -> StreamEvent:
    read = read_json(value)
    event = json_in_text(read) if isinstance(read, str) else read
    if not isinstance(event, dict):
        raise Unreadable("it is no event of a change stream")
    return {
        name: json_in_text(each) if name in _PARTS and isinstance(each, str) else each for name, each in event.items()
    }


def json_in_text(text: str) -> Any:
    """Return what a text holds as JSON. Raises Unreadable."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"a part of it is not JSON ({type(error).__name__})") from error


def _ids(key: Any, kinds: IdKinds) -> list[Any]:
    """Return the `_id`, or every one that it may be."""
    try:
        value = value_of(key)
        return candidates(key, value) if may_be_another(key, value, kinds) else [value]
    except UNREADABLE as error:
        raise Unreadable(f"its documentKey cannot be read ({type(error).__name__})") from error


def _tombstone(record: Record, namespace: Namespace) -> list[Change]:
    """A record without a value says that its document may be gone."""
    try:
        ids = ids_of_key(record)
    except NoIds as error:
        raise Unreadable(f"it has no value, and {error}") from error
    return [Change(namespace, "unresolved", 0, each) for each in ids]
