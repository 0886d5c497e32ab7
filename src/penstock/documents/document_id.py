"""The document id: an injective text form of a stored `_id`, which can be read back.

Two ids give the same text exactly if the source treats them as equal: 1, 1.0 and Decimal128("1.0") are one document, an
ObjectId and a string of its 24 digits are two. docs/bson.md has the table of forms.
"""

import math
import re
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from hashlib import sha256
from typing import Any

import orjson
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson import encode as encode_bson
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.json_util import CANONICAL_JSON_OPTIONS, JSONMode, JSONOptions
from bson.json_util import dumps as extended_json
from bson.json_util import loads as read_extended_json

from penstock.documents.bson_json import decimal, milliseconds, regex_flags, regex_pattern

MAX_ID_BYTES = 512
"""A longer id makes OpenSearch refuse the whole bulk request."""

FOREIGN: Any = object()
"""The `_id` of an indexed document whose id stands for no `_id` of any source: somebody else has put it there."""

HIDDEN: Any = object()
"""The `_id` of an indexed document whose id is a hash, where the mapping keeps the `_id` itself out of `_source`."""

UNREADABLE = (ValueError, ArithmeticError, TypeError, AttributeError, KeyError, RecursionError, BSONError)
"""What reading a text raises that only looks like a document id or like extended JSON."""

HASHED = "h:"
"""Tag of an id that was too long: a hash and the start of its text. It cannot be read back."""

_SHORT_TEXT = MAX_ID_BYTES // 4 - 2
"""A string of at most this many characters has a short document id: up to 4 bytes for each, plus a tag."""

_SHORT_KINDS = frozenset({str, ObjectId, int, Int64, float, bool, type(None), datetime})

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_HASHED_ID = re.compile(r"h:[0-9a-f]{64}:")
_INT64 = range(-(2**63), 2**63)  # fast only for plain integers: for an Int64 it would try every number
_NEVER_TEXT = frozenset({ObjectId, int, Int64, float, bool, type(None), datetime, bytes, Decimal128})
_NOT_UTF8 = "utf8"
"""Stands where the subtype of a binary stands: the bytes of a text that is not UTF-8."""

_IMPOSSIBLE = ("regex:", "list:")
"""Forms of what is never an `_id`; a pattern would even find other documents."""

_ESCAPED_BYTE = re.compile(r"(?<!\\ud[89ab][0-9a-f]{2})\\udc[89a-f][0-9a-f]")
_EPOCH = datetime(1970, 1, 1)
_EXACT = Context(prec=40, Emin=-99_999, Emax=99_999)
_KEY_OPTIONS: JSONOptions = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    document_class=dict,
    tz_aware=False,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
)


def document_id(value: Any) -> str:
    """Return the document id of a stored `_id`, at most 512 bytes of UTF-8.

    A longer text becomes `h:`, the SHA-256 of the whole text, and as much of its start as fits.
    """
    if value.__class__ is ObjectId:
        return value.binary.hex()
    text = _text(value)
    if len(text) <= MAX_ID_BYTES // 4 and _is_utf8(text):  # a character has 4 bytes at most
        return text
    octets = text.encode("utf-8", "surrogatepass")
    if len(octets) <= MAX_ID_BYTES and _is_utf8(text):
        return text
    head = f"{HASHED}{sha256(octets).hexdigest()}:"
    return head + octets[: MAX_ID_BYTES - len(head)].decode("utf-8", "ignore")


def document_ids(values: Sequence[Any]) -> list[str]:
    """Return the document id of each `_id`."""
    if set(map(type, values)) == {ObjectId}:
        return [value.binary.hex() for value in values]
    return list(map(document_id, values))


def are_short(values: Sequence[Any]) -> bool:
    """Whether the document ids of all these `_id`s are certainly within the limit."""
    kinds = set(map(type, values))
    if not kinds <= _SHORT_KINDS:
        return False
    texts = [each for each in values if each.__class__ is str]
    return not texts or (max(map(len, texts)) <= _SHORT_TEXT and _is_utf8("".join(texts)))


def read(text: str) -> Any:
    """Return the `_id` of a document id; a number is returned in its simplest type.

    Raises ValueError for a hashed id, and one of UNREADABLE for a text that `document_id` never makes.
    """
    if _OBJECT_ID.fullmatch(text):
        return ObjectId(text)
    tag = next((tag for tag in _READERS if text.startswith(tag)), None)
    if tag is None and text:
        return text
    if tag is None or tag == HASHED:
        raise ValueError("a hashed or empty document id cannot be read back: the document's `_penstock.id` has it")
    return _READERS[tag](text[len(tag) :])


def source_id_of(text: str, kept: str | None) -> Any:
    """Return the `_id` of an indexed document by its id and by what its body keeps of it; FOREIGN if it is nobody's.

    HIDDEN, for which nobody can be asked, if only a hash of it is there.
    """
    if kept is None and _HASHED_ID.match(text):
        return HIDDEN
    try:
        found = read_id_json(kept) if kept else read(text)
        is_one = not text.startswith(_IMPOSSIBLE) and document_id(found) == text and not _has_operators(found)
        return found if is_one and (can_be_asked_for(found) or has_bytes(found)) else FOREIGN
    except UNREADABLE:
        return FOREIGN


def can_be_asked_for(source_id: Any) -> bool:
    """Whether a query can name it: a text that is not UTF-8 cannot be sent."""
    if source_id.__class__ in _NEVER_TEXT and source_id.__class__ is not int:
        return True
    try:
        encode_bson({"_id": source_id})
    except (UnicodeError, OverflowError, BSONError):
        return False
    return True


def may_have_bytes(source_ids: Sequence[Any]) -> bool:
    """Whether one of these, decoded with U+FFFD for what is not UTF-8, may not be what is stored."""
    return not _NEVER_TEXT.issuperset(map(type, source_ids)) and "\ufffd" in "".join(map(str, source_ids))


def has_bytes(source_id: Any) -> bool:
    """Whether it has text that is not UTF-8, of which each byte was decoded as a lone surrogate."""
    return _ESCAPED_BYTE.search(id_json(source_id)) is not None


def id_json(value: Any) -> str:
    """Return the `_id` with its exact stored type, as canonical extended JSON."""
    try:
        return extended_json(value, json_options=CANONICAL_JSON_OPTIONS)
    except ArithmeticError:  # a decimal with invalid bits, which pymongo cannot write
        return extended_json(document_id(value))


def read_id_json(text: str) -> Any:
    """Return the `_id` for a text of `id_json`, with its exact type."""
    return read_extended_json(text, json_options=_KEY_OPTIONS)


def _text(value: Any) -> str:
    form = _FORMS.get(value.__class__)
    if form is not None:
        return form(value)
    for kind, inherited in _FORMS.items():
        if isinstance(value, kind):
            return inherited(value)
    raise TypeError(f"no document id for an _id of type {type(value).__name__}")


def _string(value: str) -> str:
    if not _is_utf8(value):
        return _bytes_of_text(value)
    plain = value and not value.startswith(TAGS) and not _OBJECT_ID.fullmatch(value)
    return str(value) if plain else f"s:{value}"


def _bytes_of_text(text: str) -> str:
    return f"bin:{_NOT_UTF8}:{b64encode(text.encode('utf-8', 'surrogateescape')).decode()}"


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_operators(source_id: Any) -> bool:
    return isinstance(source_id, dict) and any(name.startswith("$") for name in source_id)


def _float(value: float) -> str:
    if value.is_integer() and int(value) in _INT64:
        return f"n:{int(value)}"
    return f"n:{value!r}" if math.isfinite(value) else _not_finite(Decimal(value))


def _decimal(value: Decimal128) -> str:
    exact = decimal(value)
    if not exact.is_finite():
        return _not_finite(exact)
    if abs(exact) <= 2**63 and exact == int(exact) and int(exact) in _INT64:
        return f"n:{int(exact)}"
    as_float = float(exact)
    if Decimal(as_float) == exact:
        return f"n:{as_float!r}"
    return f"d:{exact.normalize(_EXACT)}"


def _not_finite(value: Decimal) -> str:
    if value.is_nan():
        return "n:NaN"
    return "n:Infinity" if value > 0 else "n:-Infinity"


def _read_number(text: str) -> Any:
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def _binary(value: bytes) -> str:
    subtype = value.subtype if isinstance(value, Binary) else 0
    return f"bin:{subtype}:{b64encode(value).decode()}"


def _read_binary(text: str) -> Any:
    subtype, octets = text.split(":")
    if subtype == _NOT_UTF8:
        return b64decode(octets).decode("utf-8", "surrogateescape")
    return Binary(b64decode(octets), int(subtype)) if int(subtype) else b64decode(octets)


def _read_timestamp(text: str) -> Timestamp:
    seconds, increment = text.split(":")
    return Timestamp(int(seconds), int(increment))


def _read_date(text: str) -> Any:
    date = DatetimeMS(int(text))
    try:
        return _EPOCH + timedelta(milliseconds=int(date))
    except OverflowError:  # before year 1, or after 9999
        return date


def _read_regex(text: str) -> "Regex[str]":
    flags, pattern = text.split(":", 1)
    return Regex(pattern, flags)


def _code(value: Code) -> str:
    return f"code:{value!s}" if value.scope is None else f"scoped:{_tree_text([str(value), value.scope])}"


def _read_scoped(text: str) -> Code:
    code, scope = _read_tree(text)
    return Code(code, scope)


def _tree(value: Any) -> Any:
    """Keep the structure of documents and arrays, and replace every value by its text form."""
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, dict):
        return {_readable(name): _tree(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_tree(inner) for inner in value]
    return _readable(_text(value))


def _readable(text: str) -> str:
    return text if _is_utf8(text) else _bytes_of_text(text)


def _tree_text(value: Any) -> str:
    return orjson.dumps(_tree(value)).decode()


def _read_tree(text: str) -> Any:
    return _read_branch(orjson.loads(text))


def _read_branch(value: Any) -> Any:
    if isinstance(value, list):
        return [_read_branch(inner) for inner in value]
    if isinstance(value, str):
        return read(value)
    document = {name: _read_branch(inner) for name, inner in value.items()}
    if "$ref" in document and "$id" in document:
        return DBRef(document.pop("$ref"), document.pop("$id"), document.pop("$db", None), document)
    return document


_FORMS: dict[type, Callable[[Any], str]] = {
    ObjectId: str,
    Code: _code,
    str: _string,
    bool: lambda value: f"bool:{str(value).lower()}",
    Int64: lambda value: f"n:{int(value)}",
    int: lambda value: f"n:{value}",
    float: _float,
    Decimal128: _decimal,
    type(None): lambda _: "null:",
    datetime: lambda value: f"date:{milliseconds(value)}",
    DatetimeMS: lambda value: f"date:{int(value)}",
    bytes: _binary,
    uuid.UUID: lambda value: _binary(Binary.from_uuid(value)),
    Timestamp: lambda value: f"ts:{value.time}:{value.inc}",
    Regex: lambda value: f"regex:{regex_flags(value)}:{regex_pattern(value)}",
    MinKey: lambda _: "minkey:",
    MaxKey: lambda _: "maxkey:",
    dict: lambda value: f"doc:{_tree_text(value)}",
    DBRef: lambda value: f"doc:{_tree_text(value)}",
    list: lambda value: f"list:{_tree_text(value)}",
}

_READERS: dict[str, Callable[[str], Any]] = {
    "s:": str,
    "n:": _read_number,
    "d:": Decimal128,
    "bool:": lambda text: text == "true",
    "null:": lambda _: None,
    "date:": _read_date,
    "bin:": _read_binary,
    "ts:": _read_timestamp,
    "regex:": _read_regex,
    "code:": Code,
    "scoped:": _read_scoped,
    "minkey:": lambda _: MinKey(),
    "maxkey:": lambda _: MaxKey(),
    "doc:": _read_tree,
    "list:": _read_tree,
    HASHED: str,
}

TAGS = tuple(_READERS)
"""The prefixes of the forms that are neither an ObjectId nor a plain string."""
