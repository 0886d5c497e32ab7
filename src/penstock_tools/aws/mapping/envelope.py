"""The JSON that a function is called with: the event source mapping's envelope around events of a change stream.

What is certain of it comes from the one sample in Lambda's documentation and from captured events; what is not (the
form of 64-bit integers, whether `truncatedArrays` is there) has a switch, so that a function can be shown every form.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from bson import json_util
from bson.json_util import CANONICAL_JSON_OPTIONS, RELAXED_JSON_OPTIONS, DatetimeRepresentation, JSONMode, JSONOptions

from penstock.mongo.cursor import Undecodable

Flavour = Literal["relaxed", "canonical", "strict"]

_OPTIONS: dict[Flavour, JSONOptions] = {
    "relaxed": RELAXED_JSON_OPTIONS,
    "canonical": CANONICAL_JSON_OPTIONS,
    "strict": JSONOptions(
        json_mode=JSONMode.LEGACY,
        strict_number_long=True,
        datetime_representation=DatetimeRepresentation.LEGACY,
    ),
}

_KEYS = (
    "_id",
    "clusterTime",
    "documentKey",
    "fullDocument",
    "ns",
    "operationType",
    "to",
    "updateDescription",
)
"""What arrives of an event, in this order. What a server adds to it (times, sessions, identities) does not."""


@dataclass(frozen=True, slots=True)
class EventForm:
    """How events are written.

    `strict` is the first extended JSON, which the Java driver 3 called so: dates as numbers of milliseconds, 64-bit
    integers as `$numberLong`. `truncated_arrays` adds an empty list of that name to updates that have none; without
    it the name is left out.
    """

    flavour: Flavour = "relaxed"
    truncated_arrays: bool = False


def event_json(event: Mapping[str, Any], form: EventForm) -> bytes:
    """Return one event as it stands under `event`: names in alphabetical order, a document's own order kept."""
    shown = {name: event[name] for name in _KEYS if name in event}
    if _absent(shown.get("fullDocument")):
        shown.pop("fullDocument", None)
    if shown.get("updateDescription") is not None:
        shown["updateDescription"] = _update(shown["updateDescription"], form)
    text = json_util.dumps(shown, json_options=_OPTIONS[form.flavour], ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def envelope(arn: str, events: Iterable[bytes]) -> bytes:
    """Return the whole payload for events from `event_json`."""
    return _head(arn) + b",".join(b'{"event":' + event + b"}" for event in events) + _TAIL


def size_of(arn: str, events: Iterable[int]) -> int:
    """Return how long the payload is, from the lengths of its events."""
    lengths = list(events)
    return len(_head(arn)) + len(_TAIL) + sum(lengths) + len(lengths) * len('{"event":}') + max(0, len(lengths) - 1)


_TAIL = b'],"eventSource":"aws:docdb"}'


def _head(arn: str) -> bytes:
    return b'{"eventSourceArn":' + orjson.dumps(arn) + b',"events":['


def _absent(document: Any) -> bool:
    """A document that was looked up too late, or that no driver can read, is left out of the event."""
    return document is None or isinstance(document, Undecodable)


def _update(description: Mapping[str, Any], form: EventForm) -> dict[str, Any]:
    shown = dict(description)
    if form.truncated_arrays:
        shown.setdefault("truncatedArrays", [])
    else:
        shown.pop("truncatedArrays", None)
    return {name: shown[name] for name in sorted(shown)}
