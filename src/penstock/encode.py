"""A document as the JSON bytes that the index takes.

Nearly every document is clean: one look at its names and kinds of values says so, and orjson writes it in one go.
Any other is first rewritten, value by value: names that OpenSearch refuses, numbers that JSON cannot hold, paths that
are too deep. Both ways give the same bytes for a clean document. docs/bson.md tells people the rules.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain, repeat
from math import isfinite
from operator import itemgetter
from typing import Any

import orjson
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import RELAXED_JSON_OPTIONS
from bson.json_util import dumps as extended_json

from penstock.bson_forms import json_form, not_finite
from penstock.change import Body
from penstock.errors import DocumentError
from penstock.field_names import CLEAN_ANYWHERE, CLEAN_AT_TOP, MAX_DEPTH, OWN, as_text, learn, map_names

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
"""How documents are decoded, so that none is refused and every value keeps what BSON says of it."""

FORM = 1
"""Counts up when a value's JSON form changes: indexes made before it are then known to differ."""

_NATIVE = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_OWN_DATES = _NATIVE | orjson.OPT_PASSTHROUGH_DATETIME

# Kinds of values that orjson or `json_form` writes rightly whatever they hold, or stops at.
_ATOMS = frozenset(
    {str, int, bool, type(None), ObjectId, Int64, bytes, Binary, Decimal128, Regex, Code, MinKey, MaxKey, DatetimeMS}
)
_KEPT = _ATOMS - {str, int, Decimal128}
_NUMBERS = frozenset({int, float, Int64})


def encode(document: dict[str, Any], long_id: str | None = None) -> bytes:
    """Answer the document as JSON; `long_id` is the key of an `_id` that its document id cannot tell, kept beside.

    Raises DocumentError when a value has no JSON form, or arrays and documents are nested beyond all sense.
    """
    if long_id is None:
        try:
            options = _options(document, CLEAN_AT_TOP, 1, 0)
            if options is not None:
                return orjson.dumps(document, json_form, options)
        except (TypeError, OverflowError):  # a value that only the rewriting can mend or name
            pass
    return encode_rewritten(document, long_id)


def encode_all(documents: Sequence[dict[str, Any]]) -> list[Body]:
    """Answer what `encode` answers or raises for each document: the look at them, and the writing, are one for all."""
    try:
        options = _options_of_all(documents, CLEAN_AT_TOP, 1, 0)
        if options is not None:
            return list(map(orjson.dumps, documents, repeat(json_form), repeat(options)))
    except (TypeError, OverflowError):  # one of them holds such a value
        pass
    return one_by_one(encode, documents)


def one_by_one(make: Callable[[dict[str, Any]], bytes | None], documents: Iterable[dict[str, Any]]) -> list[Body]:
    """Answer for each document what `make` answers or raises."""

    def body_of(document: dict[str, Any]) -> Body:
        try:
            return make(document)
        except DocumentError as error:
            return error

    return list(map(body_of, documents))


def encode_rewritten(document: dict[str, Any], long_id: str | None = None) -> bytes:
    """Answer what `encode` answers, value by value."""
    rewriting = _Rewriting()
    try:
        body = rewriting.document(document, level=1)
        own = rewriting.remarks()
        if long_id is not None:
            own["id"] = long_id
        if own:
            body[OWN] = own
        return orjson.dumps(body, json_form, _OWN_DATES)
    except RecursionError as error:
        raise DocumentError("the document cannot be encoded: it is nested too deep") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise DocumentError(f"the document cannot be encoded: {str(error)[:200]}") from error


def _options(document: dict[str, Any], clean: set[str], level: int, arrays: int) -> int | None:
    """Answer how orjson writes the document as it is, None where it has to be rewritten."""
    if not clean.issuperset(document) and not learn(document, top=level == 1):
        return None
    options = _NATIVE
    for value in document.values():
        kind = value.__class__
        if kind in _ATOMS:
            continue
        if kind is datetime:  # with milliseconds and no zone, orjson's form is penstock's
            if value.microsecond % 1000 or not value.microsecond or value.tzinfo:
                options = _OWN_DATES
            continue
        found = _nested_options(value, kind, level, arrays)
        if found is None:
            return None
        options |= found
    return options


def _nested_options(value: Any, kind: type, level: int, arrays: int) -> int | None:
    if kind is float:
        return _NATIVE if isfinite(value) else None
    if kind is dict and level < MAX_DEPTH:
        return _options(value, CLEAN_ANYWHERE, level + 1, arrays)
    if kind is list and arrays < MAX_DEPTH:
        return _NATIVE if _ATOMS.issuperset(map(type, value)) else _array_options(value, level, arrays + 1)
    return None


def _array_options(values: Sequence[Any], level: int, arrays: int) -> int | None:
    if _NUMBERS.issuperset(map(type, values)):
        return _NATIVE if isfinite(sum(values)) else None
    options = _NATIVE
    for value in values:
        kind = value.__class__
        if kind in _ATOMS:
            continue
        found = _OWN_DATES if kind is datetime else _nested_options(value, kind, level, arrays)
        if found is None:
            return None
        options |= found
    return options


def _options_of_all(documents: Sequence[dict[str, Any]], clean: set[str], level: int, arrays: int) -> int | None:
    """Answer how orjson writes all these documents; None where that has to be found out one by one.

    Those of one collection mostly have the same fields: then each field is looked at by itself.
    """
    fields = _fields(documents)
    some = documents[:1] if fields else documents
    if not all(map(clean.issuperset, some)) and not all(learn(each, top=level == 1) for each in documents):
        return None
    options = _NATIVE
    for values in fields or [list(chain.from_iterable(map(dict.values, documents)))]:
        found = _options_of_values(values, level, arrays)
        if found is None:
            return None
        options |= found
    return options


def _fields(documents: Sequence[dict[str, Any]]) -> Sequence[Sequence[Any]] | None:
    """The values of each field, where all documents have the same ones, two or more; None where they differ."""
    if not documents or len(documents[0]) < 2 or set(map(len, documents)) != {len(documents[0])}:
        return None
    try:
        return list(zip(*map(itemgetter(*documents[0]), documents), strict=True))
    except KeyError:
        return None


def _options_of_values(values: Sequence[Any], level: int, arrays: int) -> int | None:
    options = _NATIVE
    kinds = set(map(type, values))
    for kind in kinds - _ATOMS:
        options_of = _OF_KIND.get(kind)
        some = values if len(kinds) == 1 else [each for each in values if each.__class__ is kind]
        found = options_of(some, level, arrays) if options_of else None
        if found is None:
            return None
        options |= found
    return options


def _options_of_floats(values: Sequence[float], _level: int, _arrays: int) -> int | None:
    return _NATIVE if isfinite(sum(values)) else None


def _options_of_dates(values: Sequence[datetime], _level: int, _arrays: int) -> int | None:
    own = sum(value.microsecond % 1000 > 0 or not value.microsecond or value.tzinfo is not None for value in values)
    return _NATIVE if not own else _OWN_DATES if own == len(values) else None


def _options_of_documents(values: Sequence[dict[str, Any]], level: int, arrays: int) -> int | None:
    return _options_of_all(values, CLEAN_ANYWHERE, level + 1, arrays) if level < MAX_DEPTH else None


def _options_of_arrays(values: Sequence[list[Any]], level: int, arrays: int) -> int | None:
    return _options_of_values(list(chain.from_iterable(values)), level, arrays + 1) if arrays < MAX_DEPTH else None


_OF_KIND: dict[type, Callable[[Sequence[Any], int, int], int | None]] = {
    float: _options_of_floats,
    datetime: _options_of_dates,
    dict: _options_of_documents,
    list: _options_of_arrays,
}


class _Rewriting:
    """One document's way into a form that the index takes; remembers what its values cannot tell."""

    def __init__(self) -> None:
        self._not_finite: dict[str, None] = {}

    def remarks(self) -> dict[str, Any]:
        return {"not_finite": list(self._not_finite)} if self._not_finite else {}

    def document(self, document: dict[Any, Any], *, level: int, arrays: int = 0, path: str = "") -> dict[str, Any]:
        names = document if learn(document, top=level == 1) else map_names(document, level=level)
        return {
            name: self._value(value, level=level + name.count("."), arrays=arrays, path=f"{path}{name}")
            for name, value in zip(names, document.values(), strict=True)
        }

    def _value(self, value: Any, *, level: int, arrays: int, path: str) -> Any:
        if value.__class__ in _KEPT:
            return value
        if isinstance(value, str):
            return as_text(value)
        if isinstance(value, dict | list | tuple):
            return self._nested(value, level=level, arrays=arrays, path=path)
        if isinstance(value, DBRef | Timestamp):
            return self._nested(json_form(value), level=level, arrays=arrays, path=path)
        if (spelled := not_finite(value)) is not None:
            self._not_finite[f"{path}={spelled}"] = None
            return None
        return json_form(value)

    def _nested(self, value: Any, *, level: int, arrays: int, path: str) -> Any:
        if isinstance(value, dict) and level < MAX_DEPTH:
            return self.document(value, level=level + 1, arrays=arrays, path=f"{path}.")
        if not isinstance(value, dict) and arrays < MAX_DEPTH:
            return [self._value(inner, level=level, arrays=arrays + 1, path=path) for inner in value]
        return whole_as_text(value)


def whole_as_text(value: Any) -> str:
    """What the index cannot take as fields is kept whole, as the text of its extended JSON."""
    return as_text(extended_json(value, json_options=RELAXED_JSON_OPTIONS))
