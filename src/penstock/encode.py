"""A document as the JSON bytes that the index takes.

Nearly every document is clean: one look at its names and kinds of values says so, and orjson writes it in one go.
Any other is first rewritten, value by value: names that OpenSearch refuses, numbers that JSON cannot hold, paths that
are too deep. Both ways give the same bytes for a clean document. docs/bson.md tells people the rules.
"""

from collections.abc import Sequence
from datetime import datetime
from math import isfinite
from typing import Any

import orjson
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import RELAXED_JSON_OPTIONS
from bson.json_util import dumps as extended_json

from penstock.bson_forms import json_form, not_finite
from penstock.errors import DocumentError
from penstock.field_names import MAX_DEPTH, OWN, are_clean, as_text, map_names

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

_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z

# Kinds of values that are clean whatever they hold: orjson or `json_form` writes them, or stops at them.
_ATOMS = frozenset(
    {str, int, bool, type(None), ObjectId, Int64, bytes, Binary, Decimal128, Regex, Code, MinKey, MaxKey, DatetimeMS}
)
_NUMBERS = frozenset({int, float, Int64})


def encode(document: dict[str, Any], long_id: str | None = None) -> bytes:
    """Answer the document as JSON; `long_id` is the key of an `_id` that its document id cannot tell, kept beside.

    Raises DocumentError when a value has no JSON form, or arrays and documents are nested beyond all sense.
    """
    if long_id is None:
        try:
            if _is_clean(document, 1, 0):
                return orjson.dumps(document, json_form, _OPTIONS)
        except (TypeError, OverflowError):  # a value that only the rewriting can mend or name
            pass
    return encode_rewritten(document, long_id)


def encode_rewritten(document: dict[str, Any], long_id: str | None = None) -> bytes:
    """Answer what `encode` answers, value by value."""
    try:
        rewriting = _Rewriting()
        body = rewriting.document(document, level=1)
        own = rewriting.remarks()
        if long_id is not None:
            own["id"] = long_id
        if own:
            body[OWN] = own
        return orjson.dumps(body)
    except RecursionError as error:
        raise DocumentError("the document cannot be encoded: it is nested too deep") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise DocumentError(f"the document cannot be encoded: {str(error)[:200]}") from error


def _is_clean(document: dict[str, Any], level: int, arrays: int) -> bool:
    if not are_clean(document, top=level == 1):
        return False
    for value in document.values():
        kind = value.__class__
        if kind in _ATOMS:
            continue
        if kind is float:
            if isfinite(value):
                continue
            return False
        if not _is_clean_value(value, kind, level, arrays):
            return False
    return True


def _is_clean_value(value: Any, kind: type, level: int, arrays: int) -> bool:
    if kind is dict:
        return level < MAX_DEPTH and _is_clean(value, level + 1, arrays)
    if kind is list:
        return arrays < MAX_DEPTH and _is_clean_array(value, level, arrays + 1)
    # orjson writes a date in penstock's form when it has milliseconds and no zone
    return kind is datetime and value.tzinfo is None and _has_milliseconds(value.microsecond)


def _has_milliseconds(microsecond: int) -> bool:
    return microsecond != 0 and microsecond % 1000 == 0


def _is_clean_array(values: Sequence[Any], level: int, arrays: int) -> bool:
    kinds = set(map(type, values))
    if kinds <= _ATOMS:
        return True
    if kinds <= _NUMBERS:
        return isfinite(sum(values))
    for value in values:
        kind = value.__class__
        if kind in _ATOMS or (kind is float and isfinite(value)):
            continue
        if not _is_clean_value(value, kind, level, arrays):
            return False
    return True


class _Rewriting:
    """One document's way into a form that the index takes; remembers what its values cannot tell."""

    def __init__(self) -> None:
        self._not_finite: dict[str, None] = {}

    def remarks(self) -> dict[str, Any]:
        return {"not_finite": list(self._not_finite)} if self._not_finite else {}

    def document(self, document: dict[Any, Any], *, level: int, arrays: int = 0, path: str = "") -> dict[str, Any]:
        names = map_names(document, level=level)
        return {
            name: self._value(value, level=level + name.count("."), arrays=arrays, path=f"{path}{name}")
            for name, value in zip(names, document.values(), strict=True)
        }

    def _value(self, value: Any, *, level: int, arrays: int, path: str) -> Any:
        if isinstance(value, str):
            return as_text(value)
        if (spelled := not_finite(value)) is not None:
            self._not_finite[f"{path}={spelled}"] = None
            return None
        if isinstance(value, DBRef | Timestamp):
            value = json_form(value)
        if isinstance(value, dict | list | tuple):
            return self._nested(value, level=level, arrays=arrays, path=path)
        return json_form(value)

    def _nested(self, value: Any, *, level: int, arrays: int, path: str) -> Any:
        if isinstance(value, dict) and level < MAX_DEPTH:
            return self.document(value, level=level + 1, arrays=arrays, path=f"{path}.")
        if not isinstance(value, dict) and arrays < MAX_DEPTH:
            return [self._value(inner, level=level, arrays=arrays + 1, path=path) for inner in value]
        return _as_text(value)


def _as_text(value: Any) -> str:
    """What lies deeper than the index takes is kept whole, as the text of its extended JSON."""
    return as_text(extended_json(value, json_options=RELAXED_JSON_OPTIONS))
