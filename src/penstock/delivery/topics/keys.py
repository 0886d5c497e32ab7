"""Form `keys`: the `_id` of the document is in the record's key, of any producer; the value is not looked at.

A key that does not say the type of an `_id` (a text of 24 digits, where ObjectIds became texts) stands for several: the
present state of each is read from the source and written, which is right for every document, changed or not.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence, Set
from contextlib import suppress
from datetime import UTC, datetime
from decimal import InvalidOperation
from typing import Any

from bson import Binary, Decimal128, ObjectId

from penstock.delivery.stream_events import value_of
from penstock.delivery.topics.texts import Unreadable, read_bson, read_json
from penstock.documents.document_id import UNREADABLE, document_id
from penstock.kafka.records import Record
from penstock.model import Change, Namespace, version_of

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_DATE = re.compile(r"-?\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_UUID_SUBTYPES = (3, 4)


IdKinds = Set[type]
"""The types of some `_id`s of a collection."""


class NoIds(Unreadable):
    """A key that does not give the `_id`."""


class Dropped(Exception):
    """The record is no document's: the connector writes it when a collection is dropped or renamed."""


def changes_of_keys(records: Sequence[Record], namespace: Namespace) -> list[Change]:
    """Return a change to look up for each document that the keys name. What cannot be understood is `unreadable`."""
    changes: list[Change] = []
    for record in records:
        try:
            changes += [Change(namespace, "unresolved", 0, each) for each in ids_of_key(record)]
        except Dropped:
            changes.append(Change(namespace, "drop", _end_of_second(record)))
        except Unreadable as error:
            changes.append(place_change(record, namespace, str(error)))
    return changes


def place_change(record: Record, namespace: Namespace, problem: str) -> Change:
    """Return the change of a record that cannot be understood: a dead letter under its place in the topic."""
    place = f"{record.topic}/{record.partition}/{record.offset}"
    return Change(namespace, "unreadable", _time_of(record), place, reason=f"{record.place}: {problem}")


def ids_of_key(record: Record) -> list[Any]:
    """Return the `_id` that a key names, or every one that it may name. Raises NoIds, Dropped."""
    if record.key is None:
        raise NoIds("it has no key; let the producer write the document's _id into it")
    try:
        typed = read_bson(record.key)
        if typed is not None:
            return [_part(typed, record)]
        key = _json_or_text(record.key)
        if isinstance(key, dict):
            is_text_of_json = key.keys() == {"id"} and isinstance(key["id"], str)
            written = _part(key, record)
            return candidates(written, value_of(written), json_text=is_text_of_json)
        return candidates(key, value_of(key), json_text=False)
    except UNREADABLE as error:
        if isinstance(error, NoIds):
            raise
        raise NoIds(
            f"its key cannot be read: {error if isinstance(error, Unreadable) else type(error).__name__}"
        ) from error


def may_be_another(written: Any, value: Any, kinds: IdKinds) -> bool:
    """Whether an `_id` as it was written may stand for one of a type that is usual, or that the collection has."""
    usual = kinds | {ObjectId} | ({Binary} if bytes in kinds else set())  # a driver reads subtype 0 as bytes
    return any(type(each) in usual for each in candidates(written, value)[1:])


def candidates(written: Any, value: Any, *, json_text: bool = False) -> list[Any]:
    """Return every `_id` that a key may mean; `value` is what was written, with the types that it tells.

    `json_text`: whether a text may hold the `_id` as JSON, as it does in the keys of Debezium.
    """
    found = [value]
    if isinstance(written, str):
        found += _of_text(written)
        if json_text:
            found += _of_json_text(written)
    elif isinstance(written, int) and not isinstance(written, bool):
        found += _of_number(written)
    return list({document_id(each): each for each in found}.values())


def _part(key: dict[str, Any], record: Record) -> Any:
    """Return the `_id` in a key. Raises NoIds, Dropped for the token of a change stream."""
    name = next((each for each in ("_id", "id") if each in key), None)
    if name is None:
        raise NoIds("its key has neither _id nor id")
    found = key[name]
    if isinstance(found, str) and found.startswith('{"_data"'):
        found = json.loads(found)
    if isinstance(found, dict) and found.keys() == {"_data"}:
        if record.value is None:
            raise Dropped
        raise NoIds(
            "its key is a resume token; set change.stream.document.key.as.key to true in the connector, and not the"
            ' default schema for keys, or use form = "change-events"'
        )
    return found


def _json_or_text(key: bytes) -> Any:
    """Return the JSON of a key, or the text that it is: of a hand-made topic."""
    try:
        return read_json(key)
    except Unreadable:
        if key[:1] in (b"\0", b"{", b"["):
            raise
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise NoIds("its key is neither JSON, BSON nor text") from error


def _of_text(text: str) -> list[Any]:
    found: list[Any] = []
    if _OBJECT_ID.fullmatch(text):
        found.append(ObjectId(text))
    if _DATE.fullmatch(text):
        found.append(datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None))
    octets = _octets(text)
    if octets is not None:
        subtypes = (0, *_UUID_SUBTYPES) if len(octets) == 16 else (0,)
        found += [Binary(octets, subtype) for subtype in subtypes]
    with suppress(InvalidOperation, ValueError, TypeError):
        found.append(Decimal128(text))
    return found


def _octets(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if text else None
    except (binascii.Error, ValueError):
        return None


def _of_json_text(text: str) -> list[Any]:
    """Return what a text means that is itself JSON."""
    try:
        return [value_of(json.loads(text))]
    except UNREADABLE:
        return []


def _of_number(number: int) -> list[Any]:
    """Return the date that a number of milliseconds means."""
    try:
        return [datetime.fromtimestamp(number / 1000, UTC).replace(tzinfo=None)]
    except (ValueError, OverflowError, OSError):
        return []


def _end_of_second(record: Record) -> int:
    """Return a version for a drop: above all that was read in its second, when the documents were still there."""
    return _time_of(record) + (1 << 32) - 1


def _time_of(record: Record) -> int:
    """Return a version for what no event tells the time of."""
    return version_of(max(0, record.timestamp_ms) // 1000, 0)
