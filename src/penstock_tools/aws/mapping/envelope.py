"""The JSON with which a function is called: the event source mapping's envelope around events of a change stream.

What is certain comes from the sample in Lambda's documentation and from captured events. What is not certain (the form
of 64-bit integers, whether `truncatedArrays` is present) has a switch, so that a function can be tested with each form.
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
"""The parts of an event that Lambda delivers, in order; it drops what a server adds (times, sessions, identities)."""


@dataclass(frozen=True, slots=True)
class EventForm:
    """How events are written.

    `strict` is the first version of extended JSON, by the name that the Java driver 3 gave it: dates as milliseconds,
    64-bit integers as `$numberLong`. `truncated_arrays` adds an empty list of that name to updates that have none;
    without it the name is left out.
    """

    flavour: Flavour = "relaxed"
    truncated_arrays: bool = False


def event_json(event: Mapping[str, Any], form: EventForm) -> bytes:
    """Return the JSON of the value of `event`: names in alphabetical order, except within documents."""
    shown = {name: event[name] for name in _KEYS if name in event}
    if _absent(shown.get("fullDocument")):
        shown.pop("fullDocument", None)
    if shown.get("updateDescription") is not None:
        shown["updateDescription"] = _update(shown["updateDescription"], form)
    text = json_util.dumps(shown, json_options=_OPTIONS[form.flavour], ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def envelope(arn: str, events: Iterable[bytes]) -> bytes:
    """Return the whole payload for the results of `event_json`."""
    return _head(arn) + b",".join(b'{"event":' + event + b"}" for event in events) + _TAIL


def size_of(arn: str, events: Iterable[int]) -> int:
    """Return the length of the payload, given the lengths of its events."""
    lengths = list(events)
    return len(_head(arn)) + len(_TAIL) + sum(lengths) + len(lengths) * len('{"event":}') + max(0, len(lengths) - 1)


_TAIL = b'],"eventSource":"aws:docdb"}'


def _head(arn: str) -> bytes:
    return b'{"eventSourceArn":' + orjson.dumps(arn) + b',"events":['


def _absent(document: Any) -> bool:
    """Whether to leave the document out: it was looked up too late, or no driver can read it."""
    return document is None or isinstance(document, Undecodable)


def _update(description: Mapping[str, Any], form: EventForm) -> dict[str, Any]:
    shown = dict(description)
    if form.truncated_arrays:
        shown.setdefault("truncatedArrays", [])
    else:
        shown.pop("truncatedArrays", None)
    return {name: shown[name] for name in sorted(shown)}
