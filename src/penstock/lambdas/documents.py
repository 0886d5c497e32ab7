"""Reads the documents of a request's body: JSON or extended JSON to BSON, or what is wrong and where."""

import json
import math
from typing import Any, Final, NamedTuple

import bson
from bson import ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONOptions
from bson.json_util import loads as read_extended_json
from bson.raw_bson import RawBSONDocument

from penstock.lambdas.http import BadRequest

MOST: Final = 1000
MOST_BYTES: Final = 16 * 1024 * 1024

_OPTIONS: JSONOptions = JSONOptions(
    document_class=dict,
    tz_aware=False,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
)
_UNREADABLE = (BSONError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading extended JSON raises for a malformed value, and BSON for one that it cannot store."""

_KINDS = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "an array"}


class NewDocument(NamedTuple):
    """A document to store: its `_id` and its BSON. `place` says where in the request it was."""

    place: str
    id: Any
    raw: RawBSONDocument


def documents_of(body: bytes) -> list[NewDocument]:
    """Return the documents of a body, an object or an array of objects. Those without an `_id` get an ObjectId.

    Raises BadRequest.
    """
    parsed = parsed_json(body)
    if isinstance(parsed, dict):
        return [_document(parsed, "the document")]
    if not isinstance(parsed, list):
        raise BadRequest(f"The body must be a JSON object or an array of objects; it is {_kind(parsed)}.")
    if not parsed:
        raise BadRequest("The array is empty; it must contain at least one object.")
    if len(parsed) > MOST:
        raise BadRequest(f"The array contains {len(parsed)} documents; the maximum for a request is {MOST}.")
    return [_document(each, f"the document at [{place}]") for place, each in enumerate(parsed)]


def parsed_json(body: bytes) -> Any:
    """Parse a body strictly: finite numbers, no duplicate names. Raises BadRequest."""
    if not body.strip():
        raise BadRequest("The body is empty; it must be JSON.")
    try:
        return json.loads(body, parse_constant=_constant, parse_float=_finite, object_pairs_hook=_object)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise BadRequest("The body is not valid JSON: it is not UTF-8.") from None
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from None


def _document(value: Any, place: str) -> NewDocument:
    if not isinstance(value, dict):
        raise BadRequest(f"{_capitalised(place)} must be an object; it is {_kind(value)}.")
    try:
        read = read_extended_json(json.dumps(value), json_options=_OPTIONS)
    except _UNREADABLE as error:
        raise BadRequest(f"{_capitalised(place)} is not valid extended JSON: {_cause_of(error)}.") from None
    if not isinstance(read, dict):
        raise BadRequest(f"{_capitalised(place)} is a value of extended JSON ({', '.join(value)}), not a document.")
    identity = read["_id"] if "_id" in read else ObjectId()
    try:
        octets = bson.encode({"_id": identity, **read})
    except _UNREADABLE as error:
        raise BadRequest(f"{_capitalised(place)} cannot be stored: {_cause_of(error)}.") from None
    if len(octets) > MOST_BYTES:
        raise BadRequest(
            f"{_capitalised(place)} is too large: {len(octets)} bytes of BSON; the maximum is {MOST_BYTES}."
        )
    return NewDocument(place, identity, RawBSONDocument(octets))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        names = [name for name, _ in pairs]
        raise BadRequest(
            f"An object in the body has a duplicate name: {next(n for n in names if names.count(n) > 1)!r}."
        )
    return read


def _constant(name: str) -> Any:
    raise ValueError(f'{name} is not a JSON value; write {{"$numberDouble": "{name}"}}')


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f'a number is beyond the range of a double; write {{"$numberDecimal": "{text[:40]}"}}')
    return number


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), "something else")


def _capitalised(place: str) -> str:
    return place[0].upper() + place[1:]


def _cause_of(error: Exception) -> str:
    """Return the cause, without the document that pymongo puts in front of it."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError):
        return "a string contains half a character (a lone surrogate)"
    text = str(error).rpartition(" | ")[2]
    return (f"{text} is missing" if isinstance(error, KeyError) else text)[:200].rstrip(".")
