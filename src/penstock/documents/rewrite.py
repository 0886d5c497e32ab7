"""Rewrites a document value by value into what the index accepts: names, numbers and paths that it refuses."""

from typing import Any

import orjson
from bson import DBRef, Decimal128, Timestamp
from bson.json_util import RELAXED_JSON_OPTIONS
from bson.json_util import dumps as extended_json

from penstock.documents.bson_json import ATOMS, OWN_DATES, json_form, not_finite
from penstock.documents.field_names import MAX_DEPTH, as_text, learn, map_names
from penstock.errors import DocumentError
from penstock.settings import RESERVED_FIELD

_KEPT = ATOMS - {str, int, Decimal128}


def encode_rewritten(document: dict[str, Any], long_id: str | None = None) -> bytes:
    """Return the same as `encode`, made value by value."""
    rewriting = _Rewriting()
    try:
        body = rewriting.document(document, level=1)
        own = rewriting.remarks()
        if long_id is not None:
            own["id"] = long_id
        if own:
            body[RESERVED_FIELD] = own
        return orjson.dumps(body, json_form, OWN_DATES)
    except RecursionError as error:
        raise DocumentError("the document cannot be encoded: it is nested too deeply") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise DocumentError(f"the document cannot be encoded: {str(error)[:200]}") from error


class _Rewriting:
    """Rewrites one document into a form that the index accepts; keeps what its values can no longer express."""

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
    """Return the text of the value's extended JSON, to keep what the index cannot accept as fields."""
    return as_text(extended_json(value, json_options=RELAXED_JSON_OPTIONS))
